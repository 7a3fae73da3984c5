package tests

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelIsOutOfReach has a container try what the kernel or the default profile must refuse.
func TestKernelIsOutOfReach(t *testing.T) {
	u := newUserWithImage(t)
	const denied, readOnly = "Operation not permitted", "Read-only file system"
	for name, c := range map[string]struct {
		flags    []string
		attempts map[string]string // what the error must say by the command
	}{
		"default": {nil, map[string]string{
			"dmesg": denied, "unshare -U true": denied, "unshare -m true": denied, "unshare -n true": denied,
			"hostname x":               denied,
			"mount -t tmpfs none /tmp": "permission denied", "mount -t proc none /tmp": "permission denied",
			"mount -o remount,rw /sys": "permission denied", "umount /proc/keys": denied,
			"mount -t cgroup -o memory none /tmp": "permission denied",
			"mount -t cgroup2 none /tmp":          "permission denied", "mount --bind / /tmp": "permission denied",
			"mknod /x c 1 1": denied, "mknod /x b 8 0": denied, "mknod /x c 10 229": denied,
			"date -s 2001-01-01": denied, "swapoff /x": denied,
			"nsenter -t 1 -m true": denied, "ip link set lo down": denied, "ip addr add 1.2.3.4 dev lo": denied,
			"renice -n -5 1":                        "",
			"echo x >/proc/sys/kernel/core_pattern": readOnly, "echo 1 >/proc/sys/kernel/modprobe": "",
			"echo b >/proc/sysrq-trigger":            "",
			"echo 1 >/proc/irq/default_smp_affinity": readOnly, "touch /sys/x": readOnly,
			"touch /sys/fs/cgroup/x": readOnly, "echo 1 >/sys/kernel/uevent_helper": "",
		}},
		"privileged": {[]string{"--privileged"}, map[string]string{
			"mknod /x c 1 1": denied, "mknod /x b 8 0": denied, "date -s 2001-01-01": denied, "swapoff /x": denied,
			"echo x >/proc/sys/kernel/core_pattern": "", "echo b >/proc/sysrq-trigger": "", "cat /proc/kcore": "",
			"touch /sys/x": "", "insmod /bin/busybox": "",
		}},
	} {
		args := append([]string{"run", "-d", "--network", "none", "--name", "attacker"}, c.flags...)
		u.run(append(args, "bb", "sleep", "1000")...)
		for attempt, want := range c.attempts {
			r := u.try("exec", "attacker", "sh", "-c", attempt)
			if r.code == 0 && r.stderr == "" || !strings.Contains(r.stderr, want) {
				t.Errorf("%s: %s: exit code %d, %q; want %q", name, attempt, r.code, r.stderr, want)
			}
		}
		u.run("rm", "-f", "attacker")
	}
}

// TestNoWritableCgroup looks for a hierarchy of control groups in which a container could name a program that the
// kernel would execute (CVE-2022-0492). With capabilities a container can mount one, which belongs to the root of the
// host.
func TestNoWritableCgroup(t *testing.T) {
	u := newUserWithImage(t)
	for _, flags := range [][]string{nil, {"--cap-add", "SYS_ADMIN"}, {"--privileged"}} {
		args := append([]string{"run", "--rm", "--network", "none"}, flags...)
		out := u.run(append(args, "bb", "sh", "-c", `grep cgroup /proc/mounts | grep -v ' cgroup2* ro\| tmpfs ro\|,ro,\| ro,'; find / -name release_agent 2>/dev/null
for c in memory cpu pids rdma misc; do
	mount -t cgroup -o $c none /tmp || continue
	mkdir /tmp/x && echo made a group of $c
	for f in release_agent notify_on_release cgroup.procs tasks; do echo 1 >/tmp/$f && echo wrote to $f of $c; done
	umount /tmp
done 2>/dev/null; :`)...)
		if out != "" {
			t.Errorf("%q: %s", flags, out)
		}
	}
}

// TestMaskedPaths checks that containers do not see what Docker and podman hide, where the kernel has it at all.
func TestMaskedPaths(t *testing.T) {
	u := newUserWithImage(t)
	hidden := []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/dev/block", "/sys/devices/virtual/powercap",
		"/sys/firmware", "/sys/fs/selinux"}
	look := `for p; do if [ -d $p ]; then ls -A $p; elif [ -e $p ]; then cat $p; fi; done`
	for _, network := range []string{"none", "host"} { // which decides whose /sys the container sees
		u.prints("", append([]string{"run", "--rm", "--network", network, "bb", "sh", "-c", look, "sh"}, hidden...)...)
	}
	readOnly := []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	look = `for p; do [ ! -e $p ] || grep " $p " /proc/mounts | grep -q ' ro,' || echo $p; done`
	u.prints("", append([]string{"run", "--rm", "--network", "none", "bb", "sh", "-c", look, "sh"}, readOnly...)...)
}

// TestCallersEnvironmentStaysOutside looks for variables of the caller's in what a container can see of processes.
func TestCallersEnvironmentStaysOutside(t *testing.T) {
	u := newUserWithImage(t)
	u.setenv("TOKEN", "of-the-caller")
	u.setenv("LD_PRELOAD", "/of-the-caller.so")
	u.setenv("GODEBUG", "of-the-caller=1")
	for _, flags := range [][]string{nil, {"--init"}, {"--privileged"}, {"-t"}} {
		args := append([]string{"run", "-d", "--network", "none", "--name", "c1"}, flags...)
		u.run(append(args, "bb", "sh", "-c", "env; exec sleep 1000")...)
		eventually(t, "the container has told", func() bool { return strings.Contains(u.run("logs", "c1"), "HOME=") })
		told := u.run("logs", "c1") + u.run("exec", "c1", "sh", "-c",
			"env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; :")
		for _, part := range []string{"of-the-caller", "XDG_RUNTIME_DIR", "RCRUN", "TMPDIR", u.dir} {
			if strings.Contains(told, part) {
				t.Errorf("%q: %s shows in %q", flags, part, told)
			}
		}
		u.run("rm", "-f", "c1")
	}
	u.prints("of-the-caller", "run", "--rm", "--network", "none", "-e", "TOKEN", "bb", "sh", "-c", "echo $TOKEN")
}

// TestProgramsAreStatic checks that nothing is loaded into our programs after they have entered a container
// (CVE-2019-14271).
func TestProgramsAreStatic(t *testing.T) {
	for _, path := range []string{sharedBinary, overlayBinary} {
		program, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		for _, header := range program.Progs {
			if header.Type == elf.PT_INTERP || header.Type == elf.PT_DYNAMIC {
				t.Errorf("%s has a program header %v", filepath.Base(path), header.Type)
			}
		}
	}
}

// TestCommandsShowNothingOfTheHost has a container look at the processes that commands are entered by.
func TestCommandsShowNothingOfTheHost(t *testing.T) {
	u := newUserWithImage(t)
	secret := u.path("home", "secret")
	u.writeFile(secret, "secret of the host\n")
	for _, flags := range [][]string{nil, {"--cap-add", "SYS_PTRACE"}, {"--privileged"}, {"--privileged", "--init"}} {
		args := append([]string{"run", "-d", "--network", "none", "--name", "attacker"}, u.attackFlags("processes")...)
		u.run(append(append(args, flags...), "bb", "/attacker", secret)...)
		eventually(t, "the attack has begun", func() bool { return u.run("logs", "attacker") != "" })
		for range 8 {
			u.run("exec", "attacker", "true")
		}
		u.run("exec", "attacker", "mkdir", "/stop") // which opens no file, and so shows none
		u.prints("0", "wait", "attacker")
		u.prints("begun", "logs", "attacker")
		u.run("rm", "attacker")
	}
}

// lookAtProcesses looks at all processes of the container until /stop is there, and prints what it could see of one
// that is not a busybox of the container's. The argument is a file of the host's.
func lookAtProcesses(args []string) error {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	own := os.Getpid()
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return err
	}
	fmt.Println("begun")
	for !exists("/stop") {
		dirs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if dir != fmt.Sprint("/proc/", own) {
				lookAtProcess(dir, args[0], busybox[:64], root)
			}
		}
	}
	return nil
}

func lookAtProcess(dir, secret string, busybox []byte, root unix.Stat_t) {
	for _, link := range []string{"root", "cwd"} {
		var st unix.Stat_t
		if err := unix.Stat(dir+"/"+link, &st); err == nil && (st.Dev != root.Dev || st.Ino != root.Ino) {
			fmt.Println(dir, "has as its", link, "the file", st.Ino, "of", st.Dev)
		}
	}
	for _, path := range []string{"root" + secret, "cwd" + secret} {
		if text, err := os.ReadFile(dir + "/" + path); err == nil {
			fmt.Printf("%s/%s: %s\n", dir, path, text)
		}
	}
	if target, err := os.Readlink(dir + "/exe"); err == nil && target != "/bin/busybox" {
		fmt.Println(dir, "executes", target)
	}
	open, _ := filepath.Glob(dir + "/fd/*")
	for _, fd := range open {
		if target, err := os.Readlink(fd); err == nil && filepath.Base(fd) > "2" {
			fmt.Println(fd, "is", target)
		}
	}
	maps, _ := os.ReadFile(dir + "/maps") // empty if it cannot be read
	for line := range strings.Lines(string(maps)) {
		if path := strings.Index(line, "/"); path >= 0 && strings.TrimSpace(line[path:]) != "/bin/busybox" {
			fmt.Print(dir, " maps ", line)
		}
	}
	lookAtMemory(dir, busybox)
}

// lookAtMemory reads where programs that are not position-independent have the header of their file.
func lookAtMemory(dir string, busybox []byte) {
	memory, err := os.Open(dir + "/mem")
	if err != nil {
		return
	}
	defer memory.Close()
	header := make([]byte, len(busybox))
	if n, err := memory.ReadAt(header, 0x400000); err == nil && !bytes.Equal(header[:n], busybox) {
		fmt.Printf("%s has in its memory %q\n", dir, header)
	}
}
