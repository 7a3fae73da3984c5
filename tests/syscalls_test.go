package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	lastCall    = 600        // beyond all numbers of system calls that any kernel has
	x32Calls    = 0x40000000 // is set in the numbers of x32
	passed      = unix.Errno(3999)
	callsMarker = 0x5eccbeef // in the last argument of a call that must not be executed

	// uretprobeCall is the first of the two calls of the kernel's own trampolines (uretprobe, uprobe). The kernel asks
	// no filter about them, and kills who makes them elsewhere.
	uretprobeCall = 335
)

// tellSystemCalls prints for each number of a system call what the container's filter says: a second filter, of the
// program's own, hands the calls that the first one lets pass to the program, which answers them with an error that no
// kernel has. So no call is executed.
func tellSystemCalls([]string) error {
	listener := make(chan int)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // the filter is that of the thread, which ends with the goroutine
		fd, err := catchMarkedCalls()
		if err != nil {
			failed <- err
			return
		}
		listener <- fd
		for nr := range uintptr(lastCall) {
			if nr == uretprobeCall || nr == uretprobeCall+1 {
				continue
			}
			for _, abi := range []uintptr{0, x32Calls} {
				_, _, errno := unix.Syscall6(abi|nr, 0, 0, 0, 0, 0, callsMarker)
				fmt.Println(abi|nr, int(errno))
			}
		}
		failed <- nil
	}()
	select {
	case err := <-failed:
		return err
	case fd := <-listener:
		go answerCalls(fd)
	}
	return <-failed
}

// catchMarkedCalls gives the thread a filter that hands its marked calls to the reader of the descriptor.
func catchMarkedCalls() (int, error) {
	const lastArgument = 16 + 5*8 // in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: lastArgument},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: callsMarker, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("set no_new_privs: %w", err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, fmt.Errorf("install a filter: %w", errno)
	}
	return int(fd), nil
}

// answerCalls answers all calls that a filter has caught.
func answerCalls(listener int) {
	type notification struct { // struct seccomp_notif
		id         uint64
		pid, flags uint32
		data       [64]byte
	}
	type response struct { // struct seccomp_notif_resp
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
	for {
		var caught notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV,
			uintptr(unsafe.Pointer(&caught))); errno != 0 {
			continue // a signal came
		}
		answer := response{id: caught.id, err: -int32(passed)}
		// A call that a signal has interrupted takes no answer, and comes again.
		unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
	}
}

// parseCalls reads what tellSystemCalls prints: the error of each call.
func parseCalls(t *testing.T, text string) map[uintptr]unix.Errno {
	t.Helper()
	calls := map[uintptr]unix.Errno{}
	for line := range strings.Lines(text) {
		var nr uintptr
		var errno int
		if _, err := fmt.Sscan(line, &nr, &errno); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		calls[nr] = unix.Errno(errno)
	}
	if want := 2 * (lastCall - 2); len(calls) != want {
		t.Fatalf("%d calls were tried, want %d", len(calls), want)
	}
	return calls
}

// newCalls are system calls that older versions of libseccomp do not know, with what Docker's profile says of them.
var newCalls = map[uintptr]unix.Errno{
	457: passed, 458: passed, // statmount, listmount
	459: unix.EPERM, 460: unix.EPERM, 461: unix.EPERM, // lsm_get_self_attr, lsm_set_self_attr, lsm_list_modules
	462: passed,                                        // mseal
	463: passed, 464: passed, 465: passed, 466: passed, // setxattrat, getxattrat, listxattrat, removexattrat
}

// TestSystemCalls compares what the default profile does with each system call with what runc and libseccomp make of
// Docker's profile.
func TestSystemCalls(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the numbers are those of x86-64")
	}
	u := newUserWithImage(t)
	ours := parseCalls(t, u.attacked("system calls", []string{"--network", "none"}))
	for nr, want := range parseCalls(t, u.callsOfRunc()) {
		if said, isNew := newCalls[nr&^x32Calls]; isNew {
			want = said
		}
		if got := ours[nr]; got != want {
			t.Errorf("call %d (x32: %v): %d, want %d", nr&^x32Calls, nr&x32Calls != 0, got, want)
		}
	}
	for name, c := range map[string]struct {
		nr   uintptr
		want unix.Errno
	}{
		"keyctl": {unix.SYS_KEYCTL, unix.EPERM}, "bpf": {unix.SYS_BPF, unix.EPERM},
		"userfaultfd":    {unix.SYS_USERFAULTFD, unix.EPERM},
		"io_uring_setup": {unix.SYS_IO_URING_SETUP, unix.EPERM}, "perf_event_open": {unix.SYS_PERF_EVENT_OPEN,
			unix.EPERM},
		"mount": {unix.SYS_MOUNT, unix.EPERM}, "unshare": {unix.SYS_UNSHARE, unix.EPERM},
		"setns":             {unix.SYS_SETNS, unix.EPERM},
		"open_by_handle_at": {unix.SYS_OPEN_BY_HANDLE_AT, unix.EPERM}, "clone3": {unix.SYS_CLONE3, unix.ENOSYS},
		"init_module": {unix.SYS_INIT_MODULE, unix.EPERM}, "kexec_load": {unix.SYS_KEXEC_LOAD, unix.EPERM},
		"reboot": {unix.SYS_REBOOT, unix.EPERM}, "read": {unix.SYS_READ, passed}, "chroot": {unix.SYS_CHROOT, passed},
	} {
		if got := ours[c.nr]; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// callsOfRunc runs the program in a container of runc's with Docker's profile.
func (u *user) callsOfRunc() string {
	u.t.Helper()
	bundle := u.path("bundle")
	for _, dir := range []string{bundle, bundle + "/rootfs", bundle + "/rootfs/proc"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			u.t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := copyFile(self, bundle+"/rootfs/attacker", 0o755); err != nil {
		u.t.Fatal(err)
	}
	spec := u.specOfRunc()
	if err := os.WriteFile(bundle+"/config.json", encode(u.t, spec), 0o600); err != nil {
		u.t.Fatal(err)
	}
	return u.succeeded(u.finish(u.command("runc", "--root", u.path("run", "runc"), "run", "--bundle", bundle,
		"reference")))
}

// specOfRunc is runc's default specification for users without privileges, for a container that attacks.
func (u *user) specOfRunc() *specs.Spec {
	u.t.Helper()
	u.succeeded(u.finish(u.command("runc", "spec", "--rootless", "--bundle", u.path("bundle"))))
	spec := &specs.Spec{}
	if err := json.Unmarshal(readFile(u.t, u.path("bundle", "config.json")), spec); err != nil {
		u.t.Fatal(err)
	}
	spec.Process.Terminal, spec.Process.Args = false, []string{"/attacker"}
	spec.Process.Env = append(spec.Process.Env, attackEnv+"=system calls")
	// The only one of Docker's default capabilities that means something to the profile.
	caps := &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_CHROOT"}}
	profile, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: caps}})
	if err != nil {
		u.t.Fatal(err)
	}
	spec.Linux.Seccomp = profile
	return spec
}
