package runtime

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// payload is what a process of a container executes, and as whom. init and exec both end in its run.
type payload struct {
	Process *specs.Process
	Filter  seccompFilter
	IDs     idMaps
}

// opExec marks the errors of the execution itself, for which the creator has an exit code.
const opExec = "exec"

// run turns this process into the payload. It returns only on failure.
//
// It is called on the thread that is locked to the main goroutine, and changes the credentials of that thread alone:
// execve makes the thread the process. The order is that of the privileges that each step needs. Without
// no_new_privs the filter can only be installed while the thread still has CAP_SYS_ADMIN, so dropping the
// capabilities comes after it in that case and before it in the other.
func (p *payload) run(stage string) error {
	steps := []struct {
		op string
		do func() error
	}{
		{"find the user", p.findUser},
		{"set resource limits", p.limitResources},
		{"prepare the standard files", p.prepareStdio},
		{"drop bounding capabilities", p.dropBounding},
		{"change the user", p.becomeUser},
		{"enter working directory " + p.Process.Cwd, p.enterCwd},
		{"reset signals", resetSignals},
		{"close files", closeOnExec},
		{"tie the process to its parent", dieWithParent},
		{"restrict the process", p.restrict},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return wire.Errorf(stage, step.op, "", err)
		}
	}
	return p.execute(stage)
}

// limitResources sets the resource limits. syscall.Setrlimit also has Go's own raised file limit forgotten, which
// exec would otherwise take back.
func (p *payload) limitResources() error {
	for _, limit := range p.Process.Rlimits {
		resource, ok := rlimitNumbers[limit.Type]
		if !ok {
			return fmt.Errorf("unknown limit %q", limit.Type)
		}
		value := syscall.Rlimit{Cur: limit.Soft, Max: limit.Hard}
		if err := syscall.Setrlimit(resource, &value); err != nil {
			return fmt.Errorf("%s=%d:%d: %w", limit.Type, limit.Soft, limit.Hard, err)
		}
	}
	return nil
}

var rlimitNumbers = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

// prepareStdio makes the standard files what programs expect them to be.
func (p *payload) prepareStdio() error {
	for fd := range 3 {
		if err := unix.SetNonblock(fd, false); err != nil { // as a pipe made by a Go program may not be
			return err
		}
		if err := p.own(fd); err != nil {
			return err
		}
	}
	return nil
}

// own gives the user a standard file, so that it can be opened anew, as /dev/stderr. It touches only what was made
// for the container: pipes, sockets and its own terminal, not the caller's files.
func (p *payload) own(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFIFO && kind != unix.S_IFSOCK && !(p.Process.Terminal && kind == unix.S_IFCHR) {
		return nil
	}
	err := unix.Fchown(fd, int(p.Process.User.UID), -1)
	if err == unix.EPERM || err == unix.EINVAL || err == unix.EROFS {
		return nil // the file's owner is not mapped: it stays as open as it is
	}
	return err
}

func (p *payload) dropBounding() error {
	sets, err := parseCapSets(p.Process.Capabilities)
	if err != nil {
		return err
	}
	return sets.dropBounding()
}

// becomeUser sets user, groups and umask, keeping all capabilities for the steps that follow.
func (p *payload) becomeUser() error {
	user := p.Process.User
	if !p.IDs.hasUID(user.UID) || !p.IDs.hasGID(user.GID) {
		return fmt.Errorf("user %d:%d is not in the id map of the container", user.UID, user.GID)
	}
	permitted, err := permittedCaps()
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := p.setGroups(); err != nil {
		return err
	}
	if err := onThread(unix.SYS_SETRESGID, uintptr(user.GID), uintptr(user.GID), uintptr(user.GID)); err != nil {
		return err
	}
	if err := onThread(unix.SYS_SETRESUID, uintptr(user.UID), uintptr(user.UID), uintptr(user.UID)); err != nil {
		return err
	}
	umask := 0o022
	if user.Umask != nil {
		umask = int(*user.Umask)
	}
	unix.Umask(umask)
	return setCaps(permitted, permitted, 0)
}

// setGroups sets the supplementary groups. Where the namespace denies it, as it does with a map that needed no
// privilege, those of the caller stay: they are not mapped and give nothing but the access the caller has.
func (p *payload) setGroups() error {
	if !p.IDs.Setgroups {
		return nil
	}
	groups := p.Process.User.AdditionalGids
	for _, gid := range groups {
		if !p.IDs.hasGID(gid) {
			return fmt.Errorf("group %d is not in the id map of the container", gid)
		}
	}
	return setgroupsOnThread(groups)
}

// enterCwd goes to the working directory without passing a magic link: /proc/self/fd/N could lead out of the root.
func (p *payload) enterCwd() error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	cwd := p.Process.Cwd
	if cwd == "" {
		cwd = "/"
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, cwd, &how)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchdir(fd)
}

// restrict installs the filter and drops the capabilities.
func (p *payload) restrict() error {
	sets, err := parseCapSets(p.Process.Capabilities)
	if err != nil {
		return err
	}
	steps := []func() error{p.Filter.install, sets.apply}
	if p.Process.NoNewPrivileges {
		noNewPrivs := func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }
		steps = []func() error{noNewPrivs, sets.apply, p.Filter.install}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// execute runs the first of the candidates that can be, as execvp(3) does.
func (p *payload) execute(stage string) error {
	if len(p.Process.Args) == 0 {
		return wire.Errorf(stage, opExec, "", errors.New("no command specified"))
	}
	name := p.Process.Args[0]
	result := unix.ENOENT
	for _, candidate := range p.candidates(name) {
		err := syscall.Exec(candidate, p.Process.Args, p.Process.Env)
		switch errno, _ := err.(syscall.Errno); {
		case errno == unix.EACCES:
			result = errno
		case errno != unix.ENOENT && errno != unix.ENOTDIR:
			return &wire.Error{Stage: stage, Op: opExec, Path: name, Errno: errno}
		}
	}
	return &wire.Error{Stage: stage, Op: opExec, Path: name, Errno: result}
}

// candidates are the paths that a command name may mean, by the PATH of its own environment.
func (p *payload) candidates(name string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	if name == "" {
		return nil
	}
	search := DefaultPath
	for _, variable := range p.Process.Env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
		}
	}
	var paths []string
	for _, dir := range strings.Split(search, ":") {
		if dir == "" {
			dir = "."
		}
		paths = append(paths, path.Join(dir, name))
	}
	return paths
}

// closeOnExec marks all files but the standard ones, also those that this process does not know of.
func closeOnExec() error {
	return unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
}

// writeProc writes to a file of the host's proc file system.
func writeProc(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
