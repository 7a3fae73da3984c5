package rootless

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/own"
)

// Finding is one thing that containers need of the host, or work better with.
type Finding struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`      // no container runs without it; what is not required has a weaker substitute
	Detail   string `json:"detail"`        // what was found
	Fix      string `json:"fix,omitempty"` // if not OK: the command that mends it, or advice in words
}

// CheckHost examines everything on the host that decides what containers of the calling user can do.
func CheckHost() []Finding {
	h := thisHost()
	h.caller = CurrentCaller()
	return h.check()
}

// host is where the checks look. Tests use another one.
type host struct {
	root     string // prefix of every path
	getenv   func(string) string
	lookPath func(string) (string, error)
	caller   Caller

	tryUserNamespace func() error
}

// thisHost is the host that the process runs on.
func thisHost() host {
	return host{root: "/", getenv: os.Getenv, lookPath: lookPath, tryUserNamespace: newUserNamespace}
}

func (h host) check() []Finding {
	return []Finding{
		h.checkDevice("/dev/fuse", "fuse"),
		h.checkUserNamespaces(),
		h.checkIDs(),
		h.checkSlirp(),
		h.checkDevice("/dev/net/tun", "tun"),
		h.checkCgroup(),
		h.checkRuntimeDir(),
		h.checkPorts(),
	}
}

// checkDevice examines a device that users open for reading and writing: root filesystems need /dev/fuse, networks need
// /dev/net/tun.
func (h host) checkDevice(path, module string) Finding {
	f := Finding{Name: path, Required: module == "fuse"}
	dev, err := os.OpenFile(filepath.Join(h.root, path), os.O_RDWR, 0)
	switch {
	case err == nil:
		dev.Close() // an error does not matter, because nothing was written
		f.OK, f.Detail = true, "can be opened"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		f.Detail, f.Fix = "permission denied", "sudo chmod 0666 "+path
	case h.inContainer():
		f.Detail, f.Fix = cause(err)+" in this container", "run the container with --device "+path
		if f.Required {
			f.Fix += ", or use the storage driver overlay"
		}
		f.Fix += fmt.Sprintf(" (a container of rcrun gets the device with -v %[1]s:%[1]s)", path)
	default:
		f.Detail, f.Fix = cause(err), "sudo modprobe "+module
	}
	return f
}

// inContainer tells whether the process is in a container, as far as the engine of that container shows it.
func (h host) inContainer() bool {
	for _, mark := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := os.Stat(filepath.Join(h.root, mark)); err == nil {
			return true
		}
	}
	return h.getenv("container") != ""
}

// checkUserNamespaces examines the switches by which distributions forbid user namespaces.
func (h host) checkUserNamespaces() Finding {
	f := Finding{Name: "user namespaces", Required: true}
	if _, err := os.Stat(filepath.Join(h.root, "proc/self/ns/user")); err != nil {
		f.Detail, f.Fix = "this kernel has none", "use a kernel with CONFIG_USER_NS=y"
		return f
	}
	for _, s := range []struct {
		name, good string
		forbids    func(value int) bool
	}{
		{"user.max_user_namespaces", "15000", func(v int) bool { return v == 0 }},
		{"kernel.unprivileged_userns_clone", "1", func(v int) bool { return v == 0 }},
		{"kernel.apparmor_restrict_unprivileged_userns", "0", func(v int) bool { return v != 0 && h.unconfined() }},
	} {
		// A switch that does not exist forbids nothing.
		if value, ok := h.sysctl(s.name); ok && s.forbids(value) {
			f.Detail = fmt.Sprintf("forbidden by %s = %d", s.name, value)
			f.Fix = fmt.Sprintf("sudo sysctl -w %s=%s", s.name, s.good)
			return f
		}
	}
	switch err := h.tryUserNamespace(); {
	case err == nil:
		f.OK, f.Detail = true, "allowed"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		f.Detail = "there are too many, or they are nested too deep (" + cause(err) + ")"
		f.Fix = "sudo sysctl -w user.max_user_namespaces=15000"
	case h.inContainer():
		f.Detail = "this container may not make any (" + cause(err) + ")"
		f.Fix = "run the container with --privileged, or with --security-opt seccomp=unconfined"
	default:
		f.Detail = "a seccomp filter or a security module forbids them (" + cause(err) + ")"
		f.Fix = "grep -e Seccomp -e NoNewPrivs /proc/self/status; cat /proc/self/attr/current"
	}
	return f
}

// newUserNamespace tries to make a user namespace, with a process whose program does not exist, so that it ends at
// once.
func newUserNamespace() error {
	_, err := os.StartProcess("", []string{""}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// unconfined tells whether no AppArmor profile applies to the process. A profile could allow user namespaces.
func (h host) unconfined() bool {
	text, err := os.ReadFile(filepath.Join(h.root, "proc/self/attr/current"))
	return err != nil || strings.HasPrefix(string(text), "unconfined")
}

func (h host) checkIDs() Finding {
	if p := h.caller.Problem; p != (Problem{}) {
		return Finding{Name: "subordinate ids", Detail: p.What, Fix: p.Fix}
	}
	detail := fmt.Sprintf("%d users and %d groups", h.caller.SubUIDs.Total(), h.caller.SubGIDs.Total())
	return Finding{Name: "subordinate ids", OK: true, Detail: detail}
}

func (h host) checkSlirp() Finding {
	path, err := h.lookPath("slirp4netns")
	if err != nil {
		return Finding{Name: "slirp4netns", Detail: "not installed: containers have no network",
			Fix: "sudo apt-get install slirp4netns"}
	}
	return Finding{Name: "slirp4netns", OK: true, Detail: path}
}

// checkCgroup looks for a cgroup v2 that the caller may change, because no limit can be set without one.
func (h host) checkCgroup() Finding {
	f := Finding{Name: "cgroup v2 delegation"}
	if _, err := os.Stat(filepath.Join(h.root, "sys/fs/cgroup/cgroup.controllers")); err != nil {
		f.Detail = "cgroups are version 1 or hybrid: resource limits are not available"
		f.Fix = "boot with systemd.unified_cgroup_hierarchy=1"
		return f
	}
	path, err := h.ownCgroup()
	if err != nil {
		f.Detail = cause(err)
		return f
	}
	dir := filepath.Join(h.root, "sys/fs/cgroup", path)
	if unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
		f.Detail = path + " is not the user's: resource limits are not available"
		f.Fix = "sudo loginctl enable-linger $USER, and log in again"
		return f
	}
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		f.Detail = cause(err)
		return f
	}
	f.OK, f.Detail = true, strings.TrimSpace(string(controllers))
	return f
}

// ownCgroup returns the path of the process's cgroup below the mount of cgroup v2.
func (h host) ownCgroup() (string, error) {
	text, err := os.ReadFile(filepath.Join(h.root, "proc/self/cgroup"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			return path, nil
		}
	}
	return "", errors.New("the process is in no cgroup")
}

func (h host) checkRuntimeDir() Finding {
	f := Finding{Name: "XDG_RUNTIME_DIR"}
	dir := h.getenv("XDG_RUNTIME_DIR")
	switch {
	case dir == "":
		f.OK, f.Detail = true, "not set: a directory below the data directory is used"
	case unix.Access(filepath.Join(h.root, dir), unix.W_OK) != nil:
		f.Detail, f.Fix = dir+" cannot be written", "unset XDG_RUNTIME_DIR"
	default:
		f.OK, f.Detail = true, dir
		if err := own.CheckDir(filepath.Join(h.root, dir)); err != nil {
			f.OK, f.Required, f.Detail, f.Fix = false, true, err.Error(), "unset XDG_RUNTIME_DIR" // commands refuse it
		}
	}
	return f
}

func (h host) checkPorts() Finding {
	const name = "net.ipv4.ip_unprivileged_port_start"
	start, ok := h.sysctl(name)
	if !ok {
		start = 1024
	}
	return Finding{Name: "published ports", OK: true, Detail: fmt.Sprintf("from %d up (%s)", start, name)}
}

// sysctl returns a numeric setting of the kernel; ok is false where the kernel has no such setting.
func (h host) sysctl(name string) (value int, ok bool) {
	text, err := os.ReadFile(filepath.Join(h.root, "proc/sys", strings.ReplaceAll(name, ".", "/")))
	if err != nil {
		return 0, false
	}
	value, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return value, err == nil
}

// cause returns what went wrong without the operation and the path, because the name of the finding tells these.
func cause(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// RequireFuse returns nil where the caller may open /dev/fuse, and otherwise an error that says how to mend it.
func RequireFuse() error { return require(thisHost().checkDevice("/dev/fuse", "fuse")) }

// RequireUserNamespaces returns nil where nothing is known to prevent the caller from making user namespaces, and
// otherwise an error that says how to mend it.
func RequireUserNamespaces() error { return require(thisHost().checkUserNamespaces()) }

func require(f Finding) error {
	if f.OK {
		return nil
	}
	return fault.Errorf(errdefs.ErrUnavailable, "%s: %s; to mend it: %s", f.Name, f.Detail, f.Fix)
}
