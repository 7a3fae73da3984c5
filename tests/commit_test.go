package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestCommit(t *testing.T) {
	u := newUser(t)
	p := u.loadPicture("app:v1", busyboxTree(t), upperLayer(t))
	volume := u.path("home", "volume")
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	u.run("run", "--name", "cc", "-e", "FROM=run", "-v", volume+":/tmp/volume", "-w", "/srv", "app:v1", "sh", "-c",
		`echo new >/new && chown 7:8 /new && chmod 4711 /new && rm -r /home/alice && mkdir -p /d/e && mv /etc /etc2 && ln /bin/busybox /busy &&
		 echo in-volume >/tmp/volume/file && echo edited >>/etc/hosts 2>/dev/null; mknod /pipe p; ln -s /new /link; chown -h 5:6 /link; touch /d/"$(printf '\303\251\n')"`)
	id := u.run("commit", "-m", "a message", "-a", "Jo", "-c", `CMD ["cat","/new"]`, "-c", "ENV A=1 FROM=change", "-c",
		"LABEL l=v", "cc", "app:v2")
	if !strings.HasPrefix(id, "sha256:") || len(id) != 71 {
		t.Errorf("commit printed %q", id)
	}
	u.hasImage("app:v2", id)
	u.prints("new", "run", "--rm", "app:v2")
	u.prints("4711 7 8\n777 5 6\nchange 1 /srv\n/d/e", "run", "--rm", "app:v2", "sh", "-c",
		`stat -c "%a %u %g" /new /link; echo $FROM $A $(pwd); ls -d /d/e`)
	u.prints("group\npasswd", "run", "--rm", "app:v2", "sh", "-c",
		"ls /etc2 | grep -e group -e passwd; test ! -e /home/alice && test -p /pipe")
	u.prints("0", "run", "--rm", "app:v2", "sh", "-c", "ls -A /tmp/volume | wc -l") // what is in a volume stays there
	u.prints("yes", "run", "--rm", "app:v2", "sh", "-c", "cmp /busy /bin/busybox && echo yes")

	// One layer upon those of the image, and a history.
	layers := strings.Fields(u.run("image", "inspect", "-f", `{{join .RootFS.Layers " "}}`, "app:v2"))
	if len(layers) != 3 || layers[0] != p.config.RootFS.DiffIDs[0].String() ||
		layers[1] != p.config.RootFS.DiffIDs[1].String() {
		t.Errorf("layers %q", layers)
	}
	u.prints("a message Jo v", "image", "inspect", "-f", "{{.Comment}} {{.Author}} {{.Config.Labels.l}}", "app:v2")
	contains(t, u.run("history", "--no-trunc", "app:v2"), "sh -c echo new", "a message")
	u.isConfigDigest("app:v2", id)

	// All in one layer.
	u.run("commit", "--squash", "cc", "flat")
	layers = strings.Fields(u.run("image", "inspect", "-f", `{{join .RootFS.Layers " "}}`, "flat"))
	if len(layers) != 1 {
		t.Errorf("squashed, it has the layers %q", layers)
	}
	u.prints("4711 7 8", "run", "--rm", "flat", "sh", "-c", `stat -c "%a %u %g" /new; test ! -e /home/alice`)

	u.fails(125, []string{"Bad"}, "commit", "cc", "Bad Name")
	u.fails(125, []string{"NOSUCH"}, "commit", "-c", "NOSUCH x", "cc")
	u.fails(125, []string{"missing"}, "commit", "missing")
	u.run("run", "--name", "dir", "--rootfs", "/:O", "true")
	u.fails(125, []string{"dir", "no image layers"}, "commit", "dir")
}

// isConfigDigest checks that the id of an image is the digest of its configuration, as an archive has it.
func (u *user) isConfigDigest(name, id string) {
	u.t.Helper()
	saved := u.try("save", name)
	u.succeeded(saved)
	for _, e := range entriesOf(u.t, []byte(saved.stdout)) {
		if e.Name == strings.TrimPrefix(id, "sha256:")+".json" {
			if sum([]byte(e.content)) != id {
				u.t.Errorf("the configuration of %s has the digest %s, want %s", name, sum([]byte(e.content)), id)
			}
			return
		}
	}
	u.t.Errorf("no configuration in the archive of %s", name)
}

// TestFreshContainer checks that the engine's own layer is invisible, and never committed.
func TestFreshContainer(t *testing.T) {
	u := newUser(t)
	p := u.loadPicture("app:v1", busyboxTree(t))
	u.run("create", "--name", "fresh", "app:v1")
	u.prints("", "diff", "fresh")
	u.prints("", "diff", "--format", "json", "fresh")
	id := u.run("commit", "fresh", "same")
	u.prints(p.config.RootFS.DiffIDs[0].String(), "image", "inspect", "-f", `{{join .RootFS.Layers " "}}`, "same")
	if id == p.id(t) {
		t.Error("an image with another history has the same id")
	}
	// What a container does with the engine's files does not get into an image, either.
	u.run("run", "--name", "used", "app:v1", "sh", "-c", "echo 1.2.3.4 me >>/etc/hosts; rm /.dockerenv")
	u.prints("", "diff", "used")
	u.run("commit", "used", "clean")
	u.prints(p.config.RootFS.DiffIDs[0].String(), "image", "inspect", "-f", `{{join .RootFS.Layers " "}}`, "clean")
	if strings.Contains(u.run("run", "--rm", "clean", "cat", "/etc/hosts"), "1.2.3.4") {
		t.Error("an edited /etc/hosts was committed")
	}
}

func TestDiff(t *testing.T) {
	u := newUser(t)
	u.loadPicture("app:v1", busyboxTree(t), upperLayer(t))
	u.run("run", "--name", "cc", "app:v1", "sh", "-c",
		"mkdir /d && echo >/d/f; chmod 600 /etc/passwd; rm -r /home/alice /bin/su; echo >>/etc/group")
	want := "C /bin\nD /bin/su\nA /d\nA /d/f\nC /etc\nC /etc/group\nC /etc/passwd\nC /home\nD /home/alice"
	u.prints(want, "diff", "cc")
	u.prints(want, "container", "diff", "cc")
	contains(t, u.run("diff", "--format", "{{.Kind}}:{{.Path}}", "cc"), "C:/bin\nD:/bin/su\n")
	var first struct{ Kind, Path string }
	if err := json.Unmarshal([]byte(strings.Split(u.run("diff", "--format", "json", "cc"), "\n")[0]),
		&first); err != nil || first.Kind != "C" || first.Path != "/bin" {
		t.Errorf("as JSON: %+v, %v", first, err)
	}
	u.fails(125, []string{"missing"}, "diff", "missing")
}

// TestNamesThatDeceive prints what a container calls its files, and how it was started, a line each.
func TestNamesThatDeceive(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "bb", "sh", "-c", "echo >\"$(printf '/a\\n\\033[2JD etc')\"")
	u.prints(`A /a\n\x1b[2JD etc`, "diff", "c1")
	u.run("commit", "-m", "two\nlines", "c1", "c1")
	contains(t, u.run("history", "c1"), `two\nlines`)
}

// TestCommitLinks changes a file of the image under one of its names: it stays one file, also in the image that is
// made.
func TestCommitLinks(t *testing.T) {
	u := newUser(t)
	u.importImage("linked", join(t, busyboxTree(t),
		pack(t, file("a", 0o644, "old\n"), directory("dir", 0o700).owned(3, 4), hardLink("dir/b", "a"),
			hardLink("c", "a"), directory("away", 0o755), hardLink("away/d", "a"))))
	u.run("run", "--name", "cc", "linked", "sh", "-c", "echo more >>/a; mv /away /gone; rm /c")
	u.run("commit", "cc", "changed")
	u.prints("old\nmore\nold\nmore\nold\nmore\n3 3 3\n700 3 4\n1", "run", "--rm", "changed", "sh", "-c",
		`cat /a /dir/b /gone/d; echo $(stat -c %h /a /dir/b /gone/d); stat -c "%a %u %g" /dir; stat -c %i /a /dir/b /gone/d | uniq | wc -l`)
	contains(t, u.run("diff", "cc"), "C /a\n", "C /dir\n", "C /dir/b\n", "D /c")
	// A container of that image does the same again.
	u.run("run", "--name", "c2", "changed", "sh", "-c", "echo again >>/dir/b")
	u.run("commit", "c2", "changed2")
	u.prints("again 3", "run", "--rm", "changed2", "sh", "-c", "echo $(tail -n 1 /gone/d) $(stat -c %h /a)")
	tar := u.try("export", "c2")
	u.succeeded(tar)
	links := 0
	for _, e := range entriesOf(t, []byte(tar.stdout)) {
		if e.Linkname == "a" || e.Linkname == "./a" {
			links++
		}
	}
	if links != 2 {
		t.Errorf("the exported tar has %d links to the file, want 2", links)
	}
}

// TestCommitRunning commits and exports while the container writes: what comes out is one state of it.
func TestCommitRunning(t *testing.T) {
	u := newUserWithImage(t)
	// The second of two files never has more lines than the first.
	u.run("run", "-d", "--name", "cc", "bb", "sh", "-c",
		"n=0; while true; do n=$((n+1)); echo $n >>/first; echo $n >>/second; done")
	eventually(t, "the container writes", func() bool { return u.try("exec", "cc", "test", "-s", "/second").code == 0 })
	for i := range 5 {
		u.run("commit", "cc", fmt.Sprintf("state%d", i))
		u.prints("ok", "run", "--rm", fmt.Sprintf("state%d", i), "sh", "-c",
			`a=$(wc -l </first); b=$(wc -l </second); test $a -ge $b -a $a -le $((b+1)) && echo ok || echo $a $b`)
	}
	// What is on disk is looked at: who reads what is just being written waits with the writer.
	upper := u.path("home", ".local", "share", "rcrun", "storage", "fuse", "dir",
		u.run("inspect", "-f", "{{.Id}}", "cc"), "diff")
	written := func() int {
		return len(readFile(t, filepath.Join(upper, "first"))) + len(readFile(t, filepath.Join(upper, "second")))
	}
	before := written()
	eventually(t, "the container writes on", func() bool { return written() != before })
	u.run("commit", "--pause=false", "cc", "unpaused")
	u.run("export", "-o", u.path("home", "c.tar"), "cc")
	contains(t, u.run("diff", "cc"), "A /first")
	// A command that is killed lets the container go on.
	cmd := u.startExport("cc")
	read := u.run("exec", "cc", "cat", "/bin/busybox") // who reads does not wait
	if len(read) == 0 {
		t.Error("nothing can be read while the container is exported")
	}
	before = written()
	time.Sleep(50 * time.Millisecond)
	if after := written(); after != before {
		t.Errorf("it wrote while it was exported: %d bytes, then %d", before, after)
	}
	cmd.Process.Kill()
	cmd.Wait()
	eventually(t, "the container writes on", func() bool { return written() != before })
	u.run("rm", "-f", "cc")
}

// TestExport compares the tar of a container with what is seen in it.
func TestExport(t *testing.T) {
	u := newUser(t)
	u.loadPicture("app:v1", busyboxTree(t), upperLayer(t))
	u.run("run", "--name", "cc", "app:v1", "sh", "-c",
		`echo x >/x; chown 1:2 /x; ln /x /y; mv /home /moved; chmod 0 /etc/passwd; mkfifo /p`)
	path := u.path("home", "c.tar")
	u.run("export", "-o", path, "cc")
	if r := u.try("export", "cc"); r.code != 0 || string(readFile(t, path)) != r.stdout {
		t.Error("standard output got something else than the file")
	}
	seen := map[string]entry{}
	for _, e := range entriesOf(t, readFile(t, path)) {
		seen[filepath.Clean(e.Name)] = e
	}
	for name, want := range map[string]string{
		"x": "644 1:2 x", "moved/alice/only": "600 1000:1000 only", "etc/passwd": "0 0:0 root:x",
		"bin/suid": "4755 1:1 #!/bin/sh", "p": "644 0:0 ",
		"etc/group": "640 0:42 root:x:0:", "tmp": "1777 0:0 ",
	} {
		e, ok := seen[name]
		if got := fmt.Sprintf("%o %d:%d %s", e.Mode, e.Uid, e.Gid, e.content); !ok || !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if seen["y"].Linkname != "x" {
		t.Errorf("y is %+v, want a link to x", seen["y"].Header)
	}
	for _, gone := range []string{"home", "etc/secret", "moved/alice/own"} {
		if _, ok := seen[gone]; ok {
			t.Errorf("%s is there", gone)
		}
	}
	u.run("import", path, "flat")
	u.prints("x 2 1 600", "run", "--rm", "flat", "sh", "-c",
		"echo $(cat /x) $(stat -c '%h %u' /y) $(stat -c %a /moved/alice/only)")
	if got := strings.Split(u.run("history", "-q", "flat"), "\n"); len(got) != 1 {
		t.Errorf("an imported image has the history %q", got)
	}
	u.fails(125, []string{"no command"}, "run", "--rm", "flat")
	u.fails(125, []string{"missing"}, "export", "missing")
	term := u.onTerminal("export", "cc")
	term.expect("terminal")
	if code := term.wait(); code != 125 {
		t.Errorf("on a terminal: exit code %d", code)
	}
}

// TestNoPrograms does with an empty PATH all that needs no container to run.
func TestNoPrograms(t *testing.T) {
	u := newUser(t)
	tree := busyboxTree(t)
	u.run("version")
	u.setenv("PATH", "/nonexistent")
	u.succeeded(u.tryWith(tree, "import", "-c", `CMD ["sh"]`, "-", "app"))
	u.run("save", "-o", u.path("home", "app.tar"), "app")
	u.run("create", "--name", "cc", "app")
	u.run("commit", "cc", "app2")
	u.run("export", "-o", u.path("home", "c.tar"), "cc")
	u.run("rm", "cc")
	u.run("rmi", "app", "app2")
	u.run("load", "-i", u.path("home", "app.tar"))
	u.run("rmi", "app")
	u.isEmptyStore()
}

// TestCommitCore is what of commit, diff and export holds with every storage driver.
func TestCommitCore(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "cc", "bb", "sh", "-c", "echo new >/new; chown 7:8 /new; rm /home/alice/own; chmod 700 /var")
	contains(t, u.run("diff", "cc"), "A /new", "D /home/alice/own", "C /var")
	u.run("commit", "-c", `CMD ["cat","/new"]`, "cc", "committed")
	u.run("commit", "--squash", "cc", "squashed")
	u.run("export", "-o", u.path("home", "cc.tar"), "cc")
	u.run("import", u.path("home", "cc.tar"), "flat")
	u.prints("new", "run", "--rm", "committed")
	for image, layers := range map[string]int{"committed": 2, "squashed": 1, "flat": 1} {
		u.prints("7 8\n700\n640 1000", "run", "--rm", image, "sh", "-c",
			`test -e /home/alice/own || stat -c "%u %g" /new; stat -c %a /var; chmod 640 /home/alice; stat -c "%a %u" /home/alice`)
		if got := strings.Fields(u.run("image", "inspect", "-f", `{{join .RootFS.Layers " "}}`,
			image)); len(got) != layers {
			t.Errorf("%s has the layers %q, want %d", image, got, layers)
		}
	}
	u.run("save", "-o", u.path("home", "saved.tar"), "committed")
	u.run("rm", "cc")
	u.run("rmi", "committed", "squashed", "flat")
	u.run("load", "-i", u.path("home", "saved.tar"))
	u.prints("new", "run", "--rm", "committed")
}

// startExport starts to export a container, and returns while that goes on: nobody reads what it writes.
func (u *user) startExport(container string) *exec.Cmd {
	u.t.Helper()
	cmd := u.cmd("export", container)
	out, err := cmd.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		u.t.Fatal(err)
	}
	return cmd
}

// TestEndWhileExported ends and removes containers that somebody reads.
func TestEndWhileExported(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "cc", "bb", "sleep", "1000")
	reader := u.startExport("cc")
	ended := make(chan result, 1)
	go func() { ended <- u.try("kill", "cc") }()
	eventually(t, "the payload is dead", func() bool { return u.try("exec", "cc", "true").code != 0 })
	u.prints("running", "inspect", "-f", "{{.State.Status}}", "cc") // nobody may start or remove it yet
	reader.Process.Kill()
	reader.Wait()
	if r := <-ended; r.code != 0 {
		t.Errorf("kill: %+v", r)
	}
	u.prints("exited 137", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "cc")

	// The same of one that does not run.
	reader = u.startExport("cc")
	u.fails(125, []string{"cc"}, "start", "cc")
	reader.Process.Kill()
	reader.Wait()
	u.run("start", "cc")
	reader = u.startExport("cc")
	u.run("rm", "-f", "cc")
	reader.Process.Kill()
	reader.Wait()
	u.prints("", "ps", "-aq")
}

// TestParallelCommits makes several images of one container at once, while it runs and after.
func TestParallelCommits(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "cc", "bb", "sh", "-c", "echo x >/x; sleep 1000")
	eventually(t, "the container has written", func() bool { return u.try("exec", "cc", "test", "-s", "/x").code == 0 })
	for _, state := range []string{"running", "ended"} {
		results := make([]result, 4)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { results[i] = u.try("commit", "cc", fmt.Sprintf("%s%d", state, i)) })
		}
		all.Wait()
		for i, r := range results {
			u.succeeded(r)
			u.prints("x", "run", "--rm", fmt.Sprintf("%s%d", state, i), "cat", "/x")
		}
		u.try("kill", "cc")
	}
}

// TestCommitMapped commits what a process has written by mmap(2), which the kernel sends when it likes to.
func TestCommitMapped(t *testing.T) {
	u := newUserWithImage(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	u.run("run", "-d", "--name", "cc", "-v", self+":/tests:ro", "-e", mapEnv+"=/mapped", "bb", "/tests")
	eventually(t, "the file is written",
		func() bool { return u.try("exec", "cc", "test", "-e", "/mapped.done").code == 0 })
	u.run("commit", "-c", `CMD ["cat","/mapped"]`, "cc", "committed")
	u.prints("mapped", "run", "--rm", "-e", mapEnv+"=", "committed")
	u.run("rm", "-f", "cc")
}

// mapAndWait is what this program does in a container.
func mapAndWait(path string) int {
	file, err := os.Create(path)
	text := []byte("mapped\n")
	if err == nil {
		err = file.Truncate(int64(len(text)))
	}
	if err == nil {
		var memory []byte
		memory, err = syscall.Mmap(int(file.Fd()), 0, len(text), syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_SHARED)
		copy(memory, text)
	}
	if err == nil {
		err = os.WriteFile(path+".done", nil, 0o600)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	time.Sleep(time.Hour) // until the container is removed
	return 0
}
