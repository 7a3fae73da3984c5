package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOwnProgramCannotBeChanged has a container look for our programs among its processes and try to change what they
// are executed from (CVE-2019-5736), while commands are started in it, also by way of /proc/self/exe.
func TestOwnProgramCannotBeChanged(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", join(t, busyboxTree(t), pack(t, file("script", 0o755, "#!/proc/self/exe\n"),
		symlink("itself", "/proc/self/exe"))))
	programs := []string{"rcrun", "fuse-rcrun"}
	if err := os.Link(overlayBinary, u.path("fuse-rcrun")); err != nil {
		t.Fatal(err)
	}
	before := u.describePrograms(programs)
	for name, flags := range map[string][]string{
		"default": nil, "ptrace": {"--cap-add", "SYS_PTRACE"}, "init": {"--init"}, "privileged": {"--privileged"},
		"privileged init": {"--privileged", "--init"},
	} {
		args := append([]string{"run", "-d", "--network", "none", "--name", "attacker"}, u.attackFlags("programs")...)
		u.run(append(append(args, flags...), "bb", "/attacker")...)
		eventually(t, "the attack has begun", func() bool { return u.run("logs", "attacker") != "" })
		for _, command := range []string{"true", "/proc/self/exe", "true", "/script", "true", "/itself", "true"} {
			u.try("exec", "-e", attackEnv+"=", "attacker", command) // however our program ends when it is called so
		}
		u.run("exec", "attacker", "touch", "/stop")
		u.prints("0", "wait", "attacker")
		u.prints("begun", "logs", "attacker")
		u.run("rm", "attacker")
		for _, entrypoint := range []string{"/proc/self/exe", "/script"} {
			u.try(append(append([]string{"run", "--rm", "--network", "none"}, flags...), "bb", entrypoint)...)
		}
		if after := u.describePrograms(programs); after != before {
			t.Errorf("%s: our programs were\n%s\nand are\n%s", name, before, after)
		}
	}
}

func (u *user) describePrograms(names []string) string {
	u.t.Helper()
	var text strings.Builder
	for _, name := range names {
		info, err := os.Stat(u.path(name))
		if err != nil {
			u.t.Fatal(err)
		}
		fmt.Fprintln(&text, name, info.Mode(), info.ModTime(), sum(readFile(u.t, u.path(name))))
	}
	return text.String()
}

// changePrograms attacks the programs of all processes that are none of the container's own files until /stop is there,
// and prints what it could change.
func changePrograms([]string) error {
	fmt.Println("begun")
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return err
	}
	foreign := map[uint64]int{} // descriptors by the number of the inode, which outlive the process
	defer func() {
		for _, fd := range foreign {
			changeProgram("/proc/self/fd/" + strconv.Itoa(fd))
		}
	}()
	for !exists("/stop") {
		links, err := filepath.Glob("/proc/[0-9]*/exe")
		if err != nil {
			return err
		}
		for _, link := range links {
			fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				continue // it has ended, or the kernel protects it
			}
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				return err
			}
			if _, known := foreign[st.Ino]; known || st.Dev == root.Dev || isOwnProgram(st) {
				unix.Close(fd)
				continue
			}
			foreign[st.Ino] = fd
			changeProgram(link)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isOwnProgram tells whether a file is this program, which a container has from the host.
func isOwnProgram(st unix.Stat_t) bool {
	var own unix.Stat_t
	err := unix.Stat("/attacker", &own)
	return err == nil && own.Dev == st.Dev && own.Ino == st.Ino
}

// changeProgram prints each way in which a program could be changed.
func changeProgram(path string) {
	for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_TRUNC,
		unix.O_WRONLY | unix.O_APPEND} {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if n, err := unix.Write(fd, []byte("changed")); err == nil {
			fmt.Println("wrote", n, "bytes to", path, "opened with", flags)
		}
		if err := unix.Ftruncate(fd, 0); err == nil {
			fmt.Println("truncated", path)
		}
		unix.Close(fd)
	}
	if err := unix.Truncate(path, 0); err == nil {
		fmt.Println("truncated", path, "by its name")
	}
}

// TestOpenFilesOfPayload checks that a payload has its standard files and nothing else, however it is started and
// whatever the caller has open (CVE-2024-21626).
func TestOpenFilesOfPayload(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--network", "none", "--name", "running", "bb", "tail", "-f", "/dev/null")
	for _, mode := range []string{"", "-i", "-t", "-d", "-d -i", "-d -t"} {
		flags := strings.Fields(mode)
		client := u.openFilesOfSleep("running", append(append([]string{"exec"}, flags...), "running", "sleep",
			"1000")...)
		u.run("exec", "running", "killall", "sleep")
		client.Wait() // it says that its payload was killed
		client = u.openFilesOfSleep("other",
			append(append([]string{"run", "--network", "none", "--name", "other"}, flags...), "bb", "sleep", "1000")...)
		u.run("rm", "-f", "other")
		client.Wait()
	}
}

// openFile is a line of ls about a file that a payload may have open: one of the three that were made for it.
var openFile = regexp.MustCompile(` [012] -> ((pipe|socket):\[\d+\]|/dev/null|/dev/pts/0)$`)

// openFilesOfSleep starts a command that executes sleep in a container, and checks what that has open.
func (u *user) openFilesOfSleep(container string, args ...string) *exec.Cmd {
	u.t.Helper()
	client := u.withDirectoriesOpen(args...)
	if err := client.Start(); err != nil {
		u.t.Fatal(err)
	}
	eventually(u.t, "the payload runs", func() bool { return u.try("exec", container, "pidof", "sleep").code == 0 })
	pid := u.run("exec", container, "pidof", "sleep")
	files := strings.Split(u.run("exec", container, "ls", "-l", "/proc/"+pid+"/fd"), "\n")
	for _, line := range files[1:] {
		if !openFile.MatchString(line) {
			u.t.Errorf("rcrun %s: the payload has open%s", strings.Join(args, " "), line)
		}
	}
	if len(files) != 4 {
		u.t.Errorf("rcrun %s: the payload has open\n%s", strings.Join(args, " "), strings.Join(files, "\n"))
	}
	return client
}

// TestWorkingDirectoryIsInside names working directories that lead out of the container by a link of the kernel's.
func TestWorkingDirectoryIsInside(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", join(t, busyboxTree(t), pack(t, symlink("seven", "/proc/self/fd/7"),
		symlink("outside", u.path("home")))), "-c", `CMD ["sh"]`)
	u.run("run", "-d", "--network", "none", "--name", "running", "bb", "sleep", "1000")
	refused := func(r result) {
		t.Helper()
		if r.code == 0 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("rcrun %s: exit code %d, printed %q\n%s", r.command, r.code, r.stdout, r.stderr)
		}
	}
	dirs := []string{"/seven", "/seven/..", "/proc/1/root", "/proc/self/root", "/proc/self/cwd",
		"/proc/self/fd/7/../../.."}
	for n := 3; n <= 10; n++ {
		dirs = append(dirs, fmt.Sprint("/proc/self/fd/", n))
	}
	for _, dir := range dirs {
		refused(u.tryWithDirectoriesOpen("exec", "-w", dir, "running", "pwd"))
		refused(u.tryWithDirectoriesOpen("run", "--rm", "--network", "none", "-w", dir, "bb", "pwd"))
	}
	for i, dir := range []string{"/proc/self/fd/7", "/seven"} {
		image := fmt.Sprint("image", i)
		u.importImage(image, join(t, busyboxTree(t), pack(t, symlink("seven", "/proc/self/fd/7"))), "-c",
			"WORKDIR "+dir)
		refused(u.tryWithDirectoriesOpen("run", "--rm", "--network", "none", image, "pwd"))
	}
	// A path of the host's is one of the container's.
	u.try("run", "--rm", "--network", "none", "-w", "/outside/new", "bb", "true")
	if exists(u.path("home", "new")) {
		t.Error("the working directory was made on the host")
	}
	u.prints("running", "ps", "-a", "--format", "{{.Names}}")
}

// withDirectoriesOpen prepares a command whose caller has directories of the host open at 3 to 10, and a file of the
// host's as its input. They are closed at the end of the test.
func (u *user) withDirectoriesOpen(args ...string) *exec.Cmd {
	u.t.Helper()
	cmd := u.cmd(args...)
	for _, path := range []string{"/etc/passwd", "/"} {
		file, err := os.Open(path)
		if err != nil {
			u.t.Fatal(err)
		}
		u.t.Cleanup(func() { file.Close() })
		if cmd.Stdin == nil {
			cmd.Stdin = file
		}
		cmd.ExtraFiles = slices.Repeat([]*os.File{file}, 8)
	}
	return cmd
}

func (u *user) tryWithDirectoriesOpen(args ...string) result {
	u.t.Helper()
	return u.finish(u.withDirectoriesOpen(args...))
}
