package tests

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denyEnv has the program of these tests execute its arguments in a world in which nobody can make a file in memory, as
// with the sysctl vm.memfd_noexec=2.
const denyEnv = "RCRUN_DENY_MEMFD"

// denyMemory is what the program does with denyEnv. It returns only an exit code.
func denyMemory(args []string) int {
	runtime.LockOSThread() // a filter is its thread's, and what the thread executes has it
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_MEMFD_CREATE, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	}
	if err == nil {
		err = syscall.Exec(args[0], args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "deny files in memory:", err)
	return 1
}

// programs lists what the user's processes of a name are executed from.
func (u *user) programs(name string) []string {
	u.t.Helper()
	var found []string
	for _, p := range u.processes(name) {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
		if err != nil {
			u.t.Fatal(err)
		}
		found = append(found, target)
	}
	return found
}

// inMemory is what the link of a process says that is executed from the small program.
const inMemory = "/memfd:rcrun-stage (deleted)"

func TestStagesAreSmallProgram(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--init", "--network=none", "--name", "c1", "bb", "sleep", "1000")
	for _, stage := range []string{"rcrun-monitor", "rcrun-fuse", "rcrun-sandbox"} {
		if got := u.programs(stage); len(got) == 0 || len(slices.Compact(got)) != 1 || got[0] != inMemory {
			t.Errorf("%s is executed from %q", stage, got)
		}
	}
	// The payload has a process of ours as its process 1 and must not get at it, nor at what it was executed from.
	got := u.run("exec", "c1", "sh", "-c",
		`readlink /proc/1/exe || echo hidden; (echo x >/proc/1/exe) 2>/dev/null || echo refused; kill -0 1 && echo alive`)
	if want := "hidden\nrefused\nalive"; got != want {
		t.Errorf("in the container: %q, want %q", got, want)
	}
	// Whatever the monitor has open of the program, the payload has nothing of it.
	if got := u.run("exec", "c1", "sh", "-c", "ls /proc/self/fd | wc -l"); got != "4" {
		t.Errorf("a process in the container has %s open files, want 0, 1, 2 and the listed directory", got)
	}
	u.run("rm", "-f", "c1")
}

// TestStagesWithoutProgramsInMemory runs containers where the small program cannot be executed. There is no newuidmap
// either: what may not gain privileges cannot use it.
func TestStagesWithoutProgramsInMemory(t *testing.T) {
	u := newUserWithImage(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	denied := func(script string) string {
		t.Helper()
		return u.succeeded(u.script(withoutNewuidmap, denyEnv+"=1 exec "+self+` /bin/sh -euc '`+script+`'`))
	}
	got := denied(`$RCRUN run -d --network=none --name c1 bb sleep 1000 >/dev/null; $RCRUN exec c1 echo hello`)
	if got != "hello" {
		t.Errorf("exec printed %q", got)
	}
	// What the container's processes are forked from is executed from a read-only mount of the file, which is its root.
	for stage, want := range map[string]string{"rcrun-monitor": u.path("rcrun"), "rcrun-fuse": u.path("rcrun"),
		"rcrun-sandbox": "/"} {
		if got := u.programs(stage); len(got) != 1 || got[0] != want {
			t.Errorf("%s is executed from %q, want %s", stage, got, want)
		}
	}
	got = denied(`$RCRUN rm -f c1; $RCRUN run --rm --init --network=none bb sh -c "(echo x >/proc/1/exe) 2>/dev/null || echo refused"`)
	if got != "c1\nrefused" {
		t.Errorf("the container got at our program: %q", got)
	}
	u.prints("", "ps", "-aq")
}

// TestOverlayByLink mounts through a link to the whole program by the name of the small one.
func TestOverlayByLink(t *testing.T) {
	u := newUserBeside(t, hostMounts.RLocker())
	if err := os.Symlink("rcrun", u.path("fuse-rcrun")); err != nil {
		t.Fatal(err)
	}
	u.setenv("OURS", u.path("fuse-rcrun"))
	u.inHome(makeLayers)
	if got := u.inHome("$OURS -o lowerdir=lower mnt; cat mnt/file"); got != "low" {
		t.Errorf("mounted: %q", got)
	}
	if got := u.programs("rcrun-fuse"); len(got) != 1 || got[0] != inMemory {
		t.Errorf("the server is executed from %q", got)
	}
	u.run("union", "unmount", "mnt")
	u.noLeftovers()
}
