package rootless

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
)

// goodHost is a host that has everything. Its files are in a directory of the test.
func goodHost(t *testing.T) host {
	t.Helper()
	h := host{
		root:     t.TempDir(),
		getenv:   func(name string) string { return map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000"}[name] },
		lookPath: func(name string) (string, error) { return "/usr/bin/" + name, nil },
		caller: Caller{UID: 1000,
			SubUIDs: idmap.Ranges{{First: 1, Size: 2}}, SubGIDs: idmap.Ranges{{First: 1, Size: 2}}},

		tryUserNamespace: func() error { return nil },
	}
	for path, text := range map[string]string{
		"dev/fuse":                          "",
		"dev/net/tun":                       "",
		"proc/self/ns/user":                 "",
		"proc/self/attr/current":            "unconfined\n",
		"proc/self/cgroup":                  "1:cpu:/\n0::/user.slice/me\n",
		"proc/sys/user/max_user_namespaces": "1000\n",
		"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0\n",
		"sys/fs/cgroup/cgroup.controllers":                      "cpu memory\n",
		"sys/fs/cgroup/user.slice/me/cgroup.controllers":        "memory\n",
		"sys/fs/cgroup/user.slice/me/cgroup.procs":              "",
		"run/user/1000/bus":                                     "",
	} {
		h.put(t, path, text)
	}
	return h
}

func (h host) put(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(h.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h host) remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(h.root, path)); err != nil {
		t.Fatal(err)
	}
}

func TestCheckGoodHost(t *testing.T) {
	for _, f := range goodHost(t).check() {
		if !f.OK || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*testing.T, *host)
		fix   string
	}{
		"/dev/fuse":    {func(t *testing.T, h *host) { h.remove(t, "dev/fuse") }, "modprobe fuse"},
		"/dev/net/tun": {func(t *testing.T, h *host) { h.remove(t, "dev/net/tun") }, "modprobe tun"},
		"user namespaces": {func(t *testing.T, h *host) {
			h.put(t, "proc/sys/user/max_user_namespaces", "0\n")
		}, "sysctl -w user.max_user_namespaces="},
		"subordinate ids": {func(t *testing.T, h *host) {
			h.caller.Problem = Problem{What: "x", Fix: "do y"}
		}, "do y"},
		"slirp4netns": {func(t *testing.T, h *host) {
			h.lookPath = nothingInstalled
		}, "apt-get install slirp4netns"},
		"cgroup v2 delegation": {func(t *testing.T, h *host) {
			h.remove(t, "sys/fs/cgroup/user.slice")
		}, "enable-linger"},
		"XDG_RUNTIME_DIR": {func(t *testing.T, h *host) { h.remove(t, "run/user") }, "unset XDG_RUNTIME_DIR"},
	} {
		h := goodHost(t)
		c.spoil(t, &h)
		for _, f := range h.check() {
			if f.OK == (f.Name == name) {
				t.Errorf("spoiling %s: %+v", name, f)
			}
			if f.Name == name && !strings.Contains(f.Fix, c.fix) {
				t.Errorf("spoiling %s: the fix is %q, want %q in it", name, f.Fix, c.fix)
			}
		}
	}
}

func nothingInstalled(string) (string, error) { return "", errors.New("not found") }

func TestCheckRuntimeDirIsOwn(t *testing.T) {
	h := goodHost(t)
	dir := filepath.Join(h.root, h.getenv("XDG_RUNTIME_DIR"))
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	f := h.checkRuntimeDir()
	if f.OK || !f.Required || !strings.Contains(f.Detail, "other users may write") || f.Fix != "unset XDG_RUNTIME_DIR" {
		t.Errorf("a directory for all: %+v", f)
	}
}

func TestCheckUserNamespaceSwitches(t *testing.T) {

	h := goodHost(t)
	h.put(t, "proc/sys/kernel/unprivileged_userns_clone", "0")
	if f := h.checkUserNamespaces(); f.OK || !strings.Contains(f.Fix, "kernel.unprivileged_userns_clone=1") {
		t.Errorf("Debian's old switch: %+v", f)
	}
	h = goodHost(t)
	h.put(t, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
	if f := h.checkUserNamespaces(); f.OK || !strings.Contains(f.Fix, "apparmor_restrict_unprivileged_userns=0") {
		t.Errorf("AppArmor's switch: %+v", f)
	}
	h.put(t, "proc/self/attr/current", "rcrun (enforce)\n")
	if f := h.checkUserNamespaces(); !f.OK {
		t.Errorf("AppArmor's switch with a profile of our own: %+v", f)
	}
	h.remove(t, "proc/self/ns")
	if f := h.checkUserNamespaces(); f.OK {
		t.Errorf("a kernel without user namespaces: %+v", f)
	}
}

func TestCheckCgroupV1(t *testing.T) {
	h := goodHost(t)
	h.remove(t, "sys/fs/cgroup/cgroup.controllers")
	if f := h.checkCgroup(); f.OK || !strings.Contains(f.Fix, "unified_cgroup_hierarchy") {
		t.Errorf("%+v", f)
	}
}

func TestCheckForbiddenDevice(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may open everything")
	}
	h := goodHost(t)
	if err := os.Chmod(filepath.Join(h.root, "dev/fuse"), 0); err != nil {
		t.Fatal(err)
	}
	if f := h.checkDevice("/dev/fuse", "fuse"); f.OK || f.Fix != "sudo chmod 0666 /dev/fuse" {
		t.Errorf("%+v", f)
	}
}

// TestCheckInContainer checks that a container is not told to load modules.
func TestCheckInContainer(t *testing.T) {
	h := goodHost(t)
	h.put(t, ".dockerenv", "")
	h.remove(t, "dev/fuse")
	h.remove(t, "dev/net/tun")
	h.tryUserNamespace = func() error { return unix.EPERM }
	want := map[string]string{"/dev/fuse": "--device /dev/fuse, or use the storage driver overlay",
		"/dev/net/tun":    "--device /dev/net/tun",
		"user namespaces": "--security-opt seccomp=unconfined"}
	for _, f := range h.check() {
		if f.OK != (want[f.Name] == "") || !strings.Contains(f.Fix, want[f.Name]) ||
			strings.Contains(f.Fix, "modprobe") {
			t.Errorf("%+v", f)
		}
	}
}

func TestNewUserNamespace(t *testing.T) {
	if err := newUserNamespace(); err != nil {
		t.Error(err) // the other tests make some
	}
}
