package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func withSeccomp(t *testing.T) func(*Config) {
	return func(c *Config) {
		profile, err := DefaultSeccomp(c.Spec)
		must(t, err)
		c.Spec.Linux.Seccomp = profile
	}
}

// dockerCaps are Docker's default capabilities as the kernel prints them.
const dockerCaps = "00000000a80425fb"

func TestCapabilities(t *testing.T) {
	none := "0000000000000000"
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string // inheritable, permitted, effective, bounding, ambient
	}{
		"root":      {nil, []string{none, dockerCaps, dockerCaps, dockerCaps, none}},
		"root init": {func(c *Config) { c.Init = true }, []string{none, dockerCaps, dockerCaps, dockerCaps, none}},
		"user": {func(c *Config) { c.Spec.Process.User = specs.User{UID: 1, GID: 1} },
			[]string{none, none, none, dockerCaps, none}},
		"ambient": {func(c *Config) {
			c.Spec.Process.User = specs.User{UID: 1, GID: 1}
			kill := []string{"CAP_KILL"}
			c.Spec.Process.Capabilities = &specs.LinuxCapabilities{
				Bounding: kill, Effective: kill, Permitted: kill, Inheritable: kill, Ambient: kill,
			}
		}, slices.Repeat([]string{"0000000000000020"}, 5)},
		"nothing": {func(c *Config) { c.Spec.Process.Capabilities = nil }, []string{none, none, none, none, none}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, nnp := range []bool{false, true} {
				out, stderr, _ := finish(t, `grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status`, func(c *Config) {
					if test.change != nil {
						test.change(c)
					}
					c.Spec.Process.NoNewPrivileges = nnp
					withSeccomp(t)(c)
				})
				flag := map[bool]int{false: 0, true: 1}[nnp]
				want := fmt.Sprintf("CapInh: %s CapPrm: %s CapEff: %s CapBnd: %s CapAmb: %s NoNewPrivs: %d Seccomp: 2",
					test.want[0], test.want[1], test.want[2], test.want[3], test.want[4], flag)
				expect(t, "capabilities "+stderr, out, want)
			}
		})
	}
}

func TestSeccompBlocks(t *testing.T) {
	_, stderr, code := finish(t, `unshare -U true`, withSeccomp(t))
	if code == 0 || !strings.Contains(stderr, "Operation not permitted") {
		t.Errorf("unshare under the default profile: exit code %d, %q", code, stderr)
	}
	_, stderr, code = finish(t, `chmod 700 /work`, func(c *Config) {
		errno := uint(95)
		c.Spec.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"chmod", "fchmodat", "nosuchcall"},
				Action: specs.ActErrno, ErrnoRet: &errno}},
		}
	})
	if code == 0 || !strings.Contains(stderr, "Operation not supported") {
		t.Errorf("chmod under a profile of ours: exit code %d, %q", code, stderr)
	}
	if _, stderr, code = finish(t, `unshare -U true`, nil); code != 0 {
		t.Errorf("unshare without a profile: exit code %d, %q", code, stderr)
	}
}

func TestMaskedAndReadOnly(t *testing.T) {
	out, stderr, code := finish(t, `
		cat /proc/kcore /proc/keys /proc/timer_list
		ls /sys/firmware /proc/acpi
		echo x > /proc/sys/kernel/hostname
		touch /sys/x
		touch /rw`, nil)
	for _, want := range []string{"/proc/sys/kernel/hostname: Read-only", "/sys/x: Read-only"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("want %q in %s", want, stderr)
		}
	}
	expect(t, "masked paths", out, "/proc/acpi: /sys/firmware:")
	if code != 0 {
		t.Errorf("the root itself is not writable: %s", stderr)
	}
}

func TestReadOnlyRoot(t *testing.T) {
	_, stderr, code := finish(t, `touch /dev/shm/x && touch /x`, func(c *Config) { c.Spec.Root.Readonly = true })
	if code == 0 || !strings.Contains(stderr, "/x: Read-only file system") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// The payload must not be able to change the binary of the stages, which is its own user's file.
func TestOwnBinaryIsSafe(t *testing.T) {
	before, err := os.Stat(selfExe)
	must(t, err)
	out, stderr, _ := finish(t, `
		dd if=/bin/busybox of=/proc/1/exe conv=notrunc count=1 2>&1
		chmod 777 /proc/1/exe`, func(c *Config) { c.Init = true; allCapabilities(t, c) })
	if !strings.Contains(out, "can't open '/proc/1/exe'") ||
		!strings.Contains(stderr, "/proc/1/exe: Permission denied") {
		t.Errorf("writing to the binary of the first process: %s%s", out, stderr)
	}
	after, err := os.Stat(selfExe)
	must(t, err)
	if before.Mode() != after.Mode() || before.ModTime() != after.ModTime() {
		t.Error("the binary has changed")
	}
}

// allCapabilities makes the payload as strong as its user namespace allows.
func allCapabilities(t *testing.T, c *Config) {
	t.Helper()
	all, err := allCaps()
	must(t, err)
	names := []string{}
	for _, n := range all.list() {
		names = append(names, capName(n))
	}
	c.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
}

func TestHostIsOutOfSight(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o644))
	out, _, _ := finish(t, fmt.Sprintf(`cat %s 2>/dev/null; cat /../../..%[1]s 2>/dev/null; ls /proc/1/root/
		grep -c . /proc/self/mountinfo >/dev/null; ls /proc/1/fd | tr '\n' ' '`, secret), nil)
	if strings.Contains(out, "x\n") && strings.Contains(out, "secret") || strings.Contains(out, "home") {
		t.Errorf("the container sees the host: %s", out)
	}
}

func capName(n uintptr) string { return "CAP_" + strings.ToUpper(capability.Cap(n).String()) }

// TestRootReplaced puts another directory at the path of the root as soon as the root is mounted.
func TestRootReplaced(t *testing.T) {
	dir, own, other := filepath.Join(t.TempDir(), "run", "root"), tree(t), tree(t)
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(own, "whose"), []byte("own"), 0o644))
	must(t, os.WriteFile(filepath.Join(other, "whose"), []byte("other"), 0o644))
	out, stderr, _ := finish(t, "cat /whose", func(c *Config) {
		c.Dir, c.RootKind, c.RootConfig = dir, "moved", movedRoot{own, dir, other}
	})
	expect(t, "root "+stderr, out, "own")
}
