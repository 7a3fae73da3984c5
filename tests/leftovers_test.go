package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
)

// leave removes the user's containers and checks that nothing of the user is left.
func (u *user) leave() {
	u.t.Helper()
	if r := u.try("ps", "-aq"); r.code == 0 && r.out() != "" {
		u.try(append([]string{"rm", "-f"}, strings.Fields(r.stdout)...)...)
	}
	u.noLeftovers()
	if driverOf(u.t) != "" {
		// of subordinate ids
		u.finish(u.command("unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", u.dir))
		return
	}
	// Everything belongs to the user, so that an ordinary rm -rf must do.
	if err := os.RemoveAll(u.dir); err != nil {
		u.t.Errorf("remove the user's files: %v", err)
	}
}

// noLeftovers checks that no process and no mount of the user's is left. Processes may take a moment to end.
func (u *user) noLeftovers() {
	u.t.Helper()
	var left leftovers
	for w := patience.Begin(leaveTime); !w.Over(); time.Sleep(20 * time.Millisecond) {
		if left = u.leftovers(); left.none() {
			return
		}
		if copies := u.keptByOthers(left); copies != "" {
			u.t.Logf("killed servers of mounts that another program has copied:\n%s", copies)
			left.kill(u)
			return
		}
	}
	u.t.Errorf("left behind:\n%s", left)
	left.kill(u)
}

// leftovers are the processes that a user began, and the mounts in the host's mount namespace that involve the user's
// files. A mount in another namespace is left where the processes there are the user's, which are left as well. Other
// programs of the machine may have copied it with all mounts of the host: such a copy is theirs.
type leftovers struct {
	processes []process
	mounts    []string
}

func (u *user) leftovers() leftovers {
	var left leftovers
	for _, pid := range family() {
		if u.began(pid) {
			left.processes = append(left.processes, newProcess(pid))
		}
	}
	left.mounts = u.mountsIn(os.Getpid())
	return left
}

func (l leftovers) none() bool { return len(l.processes) == 0 && len(l.mounts) == 0 }

func (l leftovers) kill(u *user) {
	u.t.Helper()
	for _, p := range l.processes {
		p.kill(u.t)
	}
}

func (l leftovers) String() string {
	var lines []string
	for _, p := range l.processes {
		lines = append(lines, fmt.Sprintf("process %d: %s", p.pid, strings.Join(p.args, " ")))
	}
	for _, mount := range l.mounts {
		lines = append(lines, "mount: "+mount)
	}
	return strings.Join(lines, "\n")
}

// keptByOthers tells in whose mount namespaces copies of the user's mounts are, when these are all that keeps what is
// left: the server of a filesystem ends with the last of its mounts.
func (u *user) keptByOthers(left leftovers) string {
	if len(left.mounts) > 0 || slices.ContainsFunc(left.processes, func(p process) bool { return !p.isServer() }) {
		return ""
	}
	var copies []string
	for _, pid := range allProcesses() {
		for _, mount := range u.mountsIn(pid) {
			if strings.Contains(mount, " - fuse") && !u.began(pid) {
				copies = append(copies, fmt.Sprintf("process %d (%s): %s", pid, commandLine(pid), mount))
			}
		}
	}
	return strings.Join(copies, "\n")
}

// began tells whether the user began process pid: its binary, directories or environment, or those of a process that it
// descends from, are the user's.
func (u *user) began(pid int) bool {
	for ; pid > 1 && pid != os.Getpid() && pid != os.Getppid(); pid = parentOf(pid) {
		if u.named(pid) {
			return true
		}
	}
	return false
}

// named tells whether the user's binary, directories or environment are in process pid. Those in a container name
// nothing of the user's.
func (u *user) named(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/", pid)
	for _, link := range []string{"exe", "cwd", "root"} {
		if target, err := os.Readlink(dir + link); err == nil && u.mentions(target) {
			return true
		}
	}
	for _, file := range []string{"cmdline", "environ"} {
		if text, err := os.ReadFile(dir + file); err == nil && u.mentions(string(text)) {
			return true
		}
	}
	return false
}

// processes returns the user's processes of the given name (argv[0], without its directory), or all that are not a
// container's own.
func (u *user) processes(name string) []process {
	var found []process
	for _, pid := range family() {
		p := newProcess(pid)
		// which has let go of all that is the user's
		ours := u.named(pid) || strings.HasPrefix(p.args[0], sandboxProcess)
		if ours && (name == "" || filepath.Base(p.args[0]) == name) && u.began(pid) {
			found = append(found, p)
		}
	}
	return found
}

// mountsIn returns what /proc says of the mounts of the user's in the mount namespace of process pid.
func (u *user) mountsIn(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil // the process has ended
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if u.mentions(line) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func (u *user) mentions(text string) bool {
	return strings.Contains(text, u.dir+"/")
}
