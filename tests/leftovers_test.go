package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// leave removes the user's containers and checks that nothing of the user is left.
func (u *user) leave() {
	u.t.Helper()
	if r := u.try("ps", "-aq"); r.code == 0 && r.out() != "" {
		u.try(append([]string{"rm", "-f"}, strings.Fields(r.stdout)...)...)
	}
	u.noLeftovers()
	if driverOf(u.t) != "" {
		u.finish(u.command("unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", u.dir)) // of subordinate ids
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
	var left []string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if left = u.leftovers(); len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	u.t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	for _, p := range u.processes("") {
		p.kill(u.t)
	}
}

// leftovers describes the user's processes and the mounts that involve the user's files, in any namespace.
func (u *user) leftovers() []string {
	var left []string
	for _, pid := range allProcesses() {
		if u.owns(pid) || u.inContainer(pid) {
			left = append(left, fmt.Sprintf("process %d: %s", pid, commandLine(pid)))
			continue
		}
		if line := u.mountIn(pid); line != "" {
			left = append(left, fmt.Sprintf("in the mount namespace of process %d (%s): %s", pid, commandLine(pid), line))
		}
	}
	return left
}

// process is a running process.
type process struct {
	pid  int
	args []string
}

// processes returns the user's processes of the given name (argv[0], without its directory), or all of them.
func (u *user) processes(name string) []process {
	var found []process
	for _, pid := range allProcesses() {
		args := strings.Split(commandLine(pid), " ")
		if (u.owns(pid) || u.isSandbox(pid)) && (name == "" || filepath.Base(args[0]) == name) {
			found = append(found, process{pid: pid, args: args})
		}
	}
	return found
}

// owns tells whether the user's binary, directories or environment are in process pid.
func (u *user) owns(pid int) bool {
	if pid == os.Getpid() {
		return false
	}
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

// isSandbox tells whether process pid is the sandbox of a container of the user's. It has let go of all of the user's
// directories.
func (u *user) isSandbox(pid int) bool {
	return strings.HasPrefix(commandLine(pid), sandboxProcess) && u.inContainer(pid)
}

// inContainer tells whether process pid is of a container of the user's: by what is mounted in it, which may be nothing of
// the user's, or by descending from a monitor of the user's.
func (u *user) inContainer(pid int) bool {
	if u.mountIn(pid) != "" {
		return true
	}
	for pid = parentOf(pid); pid > 1; pid = parentOf(pid) {
		if commandLine(pid) == monitorProcess {
			return u.owns(pid)
		}
	}
	return false
}

// mountIn returns a line about a mount of the user's in the mount namespace of process pid.
func (u *user) mountIn(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return "" // it has ended, or is of another user and thus none of rcrun's
	}
	for line := range strings.Lines(string(text)) {
		if u.mentions(line) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func (u *user) mentions(text string) bool {
	return strings.Contains(text, u.dir+"/")
}

func allProcesses() []int {
	var pids []int
	names, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// commandLine returns the arguments of a process, joined by spaces; "" when it is gone.
func commandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.ReplaceAll(string(text), "\x00", " "), " ")
}
