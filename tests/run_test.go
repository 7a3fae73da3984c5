package tests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	u := newUserWithImage(t)
	for _, c := range []struct {
		code    int
		command []string
	}{
		{0, []string{"true"}}, {1, []string{"false"}}, {7, []string{"sh", "-c", "exit 7"}},
		{255, []string{"sh", "-c", "exit 255"}},
		{137, []string{"sh", "-c", "kill -9 $$; sleep 5"}},
		{143, []string{"sh", "-c", "trap 'exit 143' TERM; kill $$; sleep 5"}},
	} {
		// A process 1 does not die of its own signals, so the shell is made an ordinary process.
		args := append([]string{"run", "--rm", "--init", "bb"}, c.command...)
		if r := u.try(args...); r.code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s", c.command, r.code, c.code, r.stderr)
		}
	}
	u.fails(127, []string{"no-such-command", "not found"}, "run", "--rm", "bb", "no-such-command")
	u.fails(127, []string{"/no/such/file", "no such file"}, "run", "--rm", "bb", "/no/such/file")
	u.fails(126, []string{"/etc/not-executable", "permission denied"}, "run", "--rm", "bb", "/etc/not-executable")
	u.fails(126, []string{"/etc"}, "run", "--rm", "bb", "/etc")
	u.fails(125, []string{"no-such-image"}, "run", "--rm", "--pull=never", "no-such-image", "true")
	if r := u.try("run", "--rm", "127.0.0.1:1/no-such-image", "true"); r.code != 125 ||
		!strings.Contains(r.stderr, "connection refused") {
		t.Errorf("unreachable registry: exit code %d\n%s", r.code, r.stderr)
	}
	u.fails(125, []string{"no-such-flag"}, "run", "--no-such-flag", "bb", "true")
	u.prints("", "ps", "-aq")
}

func TestOutput(t *testing.T) {
	u := newUserWithImage(t)
	r := u.try("run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2")
	if r.stdout != "out\n" || r.stderr != "err\n" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
	text := strings.Repeat("0123456789abcdef\n", 100_000)
	if r := u.tryWith([]byte(text), "run", "--rm", "-i", "bb", "cat"); r.stdout != text {
		t.Errorf("%d bytes through a container came back as %d bytes, exit code %d\n%s", len(text), len(r.stdout),
			r.code, r.stderr)
	}
	if r := u.tryWith([]byte("ignored"), "run", "--rm", "bb", "cat"); r.code != 0 || r.stdout != "" {
		t.Errorf("without -i: exit code %d, %q", r.code, r.stdout)
	}
}

func TestEnvironment(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", busyboxTree(t), "-c", `ENV A=image`, "-c", `ENV B=image`, "-c", `WORKDIR /home`, "-c",
		`CMD ["env"]`)
	u.setenv("FROM_CALLER", "caller")
	if err := os.WriteFile(u.path("home", "env"), []byte("# note\nC=file\nFROM_CALLER\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(u.run("run", "--rm", "--hostname", "box", "-e", "A=user", "-e", "D=", "--env-file",
		u.path("home", "env"), "bb"), "\n")
	for _, want := range []string{"A=user", "B=image", "C=file", "D=", "FROM_CALLER=caller", "HOSTNAME=box",
		"HOME=/root",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s among %q", want, lines)
		}
	}
	if len(lines) != 8 {
		t.Errorf("variables that nobody asked for: %q", lines)
	}
	u.prints("/home", "run", "--rm", "bb", "pwd")
	u.prints("/made/here", "run", "--rm", "-w", "/made/here", "bb", "pwd")
	contains(t, u.run("run", "--rm", "-t", "bb", "env"), "TERM=xterm")
}

func TestEntrypoint(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", busyboxTree(t), "-c", `ENTRYPOINT ["echo","entry"]`, "-c", `CMD ["cmd"]`)
	u.importImage("bare", busyboxTree(t))
	u.prints("entry cmd", "run", "--rm", "bb")
	u.prints("entry mine", "run", "--rm", "bb", "mine")
	u.prints("", "run", "--rm", "--entrypoint", "true", "bb")
	u.prints("x y", "run", "--rm", "--entrypoint", "echo", "bb", "x", "y")
	u.prints("only me", "run", "--rm", "--entrypoint", "", "bb", "echo", "only", "me")
	u.fails(125, []string{"no command"}, "run", "--rm", "bare")
	u.fails(125, []string{"no command"}, "run", "--rm", "--entrypoint", "", "bare")
}

func TestUser(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", busyboxTree(t), "-c", `USER alice`)
	id := []string{"sh", "-c", "id -u; id -g; id -G; echo $HOME"}
	for flag, want := range map[string]string{
		"":            "1000\n1000\n1000 2000\n/home/alice",
		"root":        "0\n0\n0\n/root",
		"0":           "0\n0\n0\n/root",
		"alice":       "1000\n1000\n1000 2000\n/home/alice",
		"1000":        "1000\n1000\n1000 2000\n/home/alice",
		"alice:extra": "1000\n2000\n2000\n/home/alice",
		"1000:42":     "1000\n42\n42\n/home/alice",
		"daemon":      "1\n1\n1\n/",
		"4242":        "4242\n0\n0\n/",
		"4242:4343":   "4242\n4343\n4343\n/",
	} {
		args := []string{"run", "--rm"}
		if flag != "" {
			args = append(args, "-u", flag)
		}
		u.prints(want, append(append(args, "bb"), id...)...)
	}
	u.fails(125, []string{"nobody-here"}, "run", "--rm", "-u", "nobody-here", "bb", "true")
	u.fails(125, []string{"no-such-group"}, "run", "--rm", "-u", "root:no-such-group", "bb", "true")
	u.prints("of alice", "run", "--rm", "bb", "cat", "/home/alice/own")
	if r := u.try("run", "--rm", "-u", "daemon", "bb", "cat", "/home/alice/own"); r.code != 1 {
		t.Errorf("another user reads a private file: %q", r.stdout)
	}
	if r := u.try("run", "--rm", "bb", "cat", "/etc/secret"); r.code != 1 {
		t.Errorf("an ordinary user reads a file of mode 0: %q", r.stdout)
	}
	u.prints("secret", "run", "--rm", "-u", "root", "bb", "cat", "/etc/secret")
}

func TestNamespaces(t *testing.T) {
	u := newUserWithImage(t)
	inside := strings.Fields(u.run("run", "--rm", "bb", "sh", "-c",
		"for n in user mnt pid ipc uts net cgroup; do readlink /proc/self/ns/$n; done"))
	for i, name := range []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"} {
		outside, err := os.Readlink("/proc/self/ns/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if inside[i] == outside {
			t.Errorf("the container shares namespace %s with the host", outside)
		}
	}
	u.prints("box", "run", "--rm", "--hostname", "box", "bb", "hostname")
	u.prints("1", "run", "--rm", "bb", "sh", "-c", "echo $$")
	name := u.run("run", "--rm", "bb", "hostname")
	if len(name) != 12 {
		t.Errorf("the host name is %q, want the first 12 digits of the ID", name)
	}
	contains(t, u.run("run", "--rm", "bb", "cat", "/etc/hosts"), "127.0.0.1\tlocalhost")
	contains(t, u.run("run", "--rm", "--hostname", "box", "bb", "cat", "/etc/hostname", "/etc/hosts"), "box\n", "\tbox")
}

// TestConfinement compares capabilities, seccomp and the masked paths with Docker's defaults.
func TestConfinement(t *testing.T) {
	u := newUserWithImage(t)
	status := u.run("run", "--rm", "bb", "cat", "/proc/self/status")
	contains(t, status, "CapBnd:\t00000000a80425fb", "CapEff:\t00000000a80425fb", "CapInh:\t0000000000000000",
		"CapAmb:\t0000000000000000", "Seccomp:\t2", "NoNewPrivs:\t0")
	contains(t, u.run("run", "--rm", "-u", "alice", "bb", "cat", "/proc/self/status"), "CapEff:\t0000000000000000",
		"CapBnd:\t00000000a80425fb")
	contains(t, u.run("run", "--rm", "--security-opt", "no-new-privileges", "bb", "cat", "/proc/self/status"),
		"NoNewPrivs:\t1")
	if r := u.try("run", "--rm", "bb", "mount", "-t", "tmpfs", "none", "/tmp"); r.code == 0 {
		t.Error("the container may mount")
	}
	if r := u.try("run", "--rm", "bb", "unshare", "-U", "true"); r.code == 0 {
		t.Error("the container may make user namespaces")
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list"} {
		u.prints("0", "run", "--rm", "bb", "sh", "-c", "[ ! -e "+path+" ] && echo 0 || wc -c <"+path)
	}
	for _, path := range []string{"/proc/sys/kernel/domainname", "/proc/sysrq-trigger"} {
		if r := u.try("run", "--rm", "bb", "sh", "-c", "echo b >"+path); r.code == 0 {
			t.Errorf("%s can be written", path)
		}
	}
}

// TestWorkingDirectoryBehindMagicLink makes nothing on the way to a directory that is refused.
func TestWorkingDirectoryBehindMagicLink(t *testing.T) {
	u := newUserWithImage(t)
	u.fails(126, []string{"/proc/self/root/made"}, "run", "--name", "c1", "-w", "/proc/self/root/made", "bb", "true")
	u.prints("", "diff", "c1")
	u.run("run", "--name", "c2", "-w", "/new/dir", "bb", "true")
	contains(t, u.run("diff", "c2"), "A /new/dir")
}

// TestSysOfHost has the host's /sys in the container, as the kernel gives no other with the host's network.
func TestSysOfHost(t *testing.T) {
	u := newUserWithImage(t)
	for _, line := range strings.Split(u.run("run", "--rm", "--network", "host", "bb", "grep", " /sys", "/proc/mounts"),
		"\n") {
		fields := strings.Fields(line)
		for _, want := range []string{"ro", "nosuid", "nodev", "noexec"} {
			if !slices.Contains(strings.Split(fields[3], ","), want) {
				t.Errorf("no %s: %s", want, line)
			}
		}
	}
}

// TestServerIsAnonymous asks, in a container, who serves its root filesystem.
func TestServerIsAnonymous(t *testing.T) {
	u := newUserWithImage(t)
	got := u.run(append(append([]string{"run", "--rm"}, insider("server")...), "bb")...)
	if got != "no data available" {
		t.Errorf("the container learns %q", got)
	}
}

func TestDevicesAndMounts(t *testing.T) {
	u := newUserWithImage(t)
	u.prints("ok", "run", "--rm", "bb", "sh", "-c",
		"for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done;"+
			"[ -d /dev/pts ] && [ -d /dev/shm ] && [ -d /dev/mqueue ] && [ -e /dev/ptmx ] || echo no directory; echo "+
			"x >/dev/null;"+
			"head -c 4 /dev/zero | wc -c | grep -q 4 || echo bad zero; [ $(readlink /dev/fd) = /proc/self/fd ] && [ "+
			"$(readlink /dev/stdin) = /proc/self/fd/0 ] || echo no links; echo ok")
	mounts := u.run("run", "--rm", "bb", "cat", "/proc/mounts")
	for _, want := range []string{" / fuse", " /proc proc ", " /sys sysfs ro", " /dev tmpfs ", " /dev/pts devpts ",
		" /dev/mqueue mqueue ", " /dev/shm tmpfs ",
		" /etc/hosts ", " /etc/hostname ", " /etc/resolv.conf "} {
		if !strings.Contains(mounts, want) {
			t.Errorf("no mount %q in\n%s", want, mounts)
		}
	}
	if strings.Contains(mounts, u.dir+"/home") {
		// The files that are bound over those in /etc show no host path in /proc/mounts.
		t.Errorf("paths of the host's show in\n%s", mounts)
	}
	u.prints("65735546", "run", "--rm", "bb", "stat", "-f", "-c", "%t", "/") // FUSE_SUPER_MAGIC
	contains(t, u.run("run", "--rm", "bb", "df", "/dev/shm"), "65536")
}

// TestFiles changes the root filesystem in the ways programs do, and looks at the result in a second process.
func TestFiles(t *testing.T) {
	u := newUserWithImage(t)
	script := `set -e
rm /etc/secret; rm -r /home/alice; mkdir /home/alice; echo new >/home/alice/file
echo more >>/etc/group; chown 1000:42 /etc/passwd; chmod 4711 /etc/passwd; touch -d '2001-02-03 04:05:06' /etc/bad-interpreter
mv /etc/not-executable /tmp/moved; ln -s moved /tmp/link; ln /tmp/moved /tmp/hard; mkfifo /tmp/fifo
mkdir -p /d/e; echo x >/d/e/f; mv /d /g; echo y >/g/e/h; rm /g/e/f
`
	look := `cd /; cat /home/alice/file; ls /home/alice; tail -n 1 /etc/group; head -n 1 /etc/group
stat -c '%a %u %g' /etc/passwd; stat -c '%Y' /etc/bad-interpreter; cat /tmp/link; stat -c %h /tmp/moved; stat -c %F /tmp/fifo
ls /g/e; cat /g/e/h; ls -d /d /etc/secret /etc/not-executable 2>&1 | wc -l; ls -d /d /etc/secret /etc/not-executable 2>/dev/null | wc -l`
	want := "new\nfile\nmore\nroot:x:0:\n4711 1000 42\n981173106\ntext\n2\nfifo\nh\ny\n3\n0"
	u.run("run", "--name", "c1", "bb", "sh", "-c", script+"touch /done; "+look)
	u.prints(want, "logs", "c1")
	u.run("rm", "c1")
	u.run("run", "--name", "c1", "bb", "sh", "-c", "[ -e /done ] || { "+script+"touch /done; }; "+look)
	u.run("start", "c1")
	u.run("wait", "c1")
	u.prints(want+"\n"+want, "logs", "c1")
	// The image is as before.
	u.prints("secret", "run", "--rm", "bb", "cat", "/etc/secret")
}

func TestInit(t *testing.T) {
	u := newUserWithImage(t)
	// Without --init the payload is process 1; with it, orphans are reaped for it.
	orphans := "for i in 1 2 3; do (sleep 0.1 &); done; sleep 1; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm"
	fields := strings.Fields(u.run("run", "--rm", "--init", "bb", "sh", "-c", orphans))
	if len(fields) != 2 || fields[1] == "sh" {
		t.Errorf("with --init: %q", fields)
	}
	u.prints("sh", "run", "--rm", "bb", "sh", "-c", "cat /proc/1/comm; :")
	if r := u.try("run", "--rm", "--init", "bb", "sh", "-c", "exit 9"); r.code != 9 {
		t.Errorf("exit code %d through init", r.code)
	}
}

// TestWithoutRuntimeDir is a host without a login session.
func TestWithoutRuntimeDir(t *testing.T) {
	u := newUserWithImage(t)
	for _, dir := range []string{"", "/nonexistent", "/proc"} {
		u.setenv("XDG_RUNTIME_DIR", dir)
		name := fmt.Sprintf("c%d", len(dir))
		u.run("run", "-d", "--name", name, "bb", "sleep", "1000")
		u.prints("hi", "exec", name, "echo", "hi")
	}
	// A shell that has the variable sees the containers of one that has not.
	u.setenv("XDG_RUNTIME_DIR", u.path("run"))
	contains(t, u.run("ps"), "c0", "c12", "c5")
	u.run("rm", "-f", "c0", "c12", "c5")
}
