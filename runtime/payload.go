package runtime

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"unsafe"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
)

// payload describes the process of a container that a child becomes: what it executes, and as which user. Both init and
// exec end in it.
type payload struct {
	Process *specs.Process
	Filter  seccompFilter
	IDs     idMaps
	Files   unix.Rlimit // limit of open files, if the specification has none
	Own     []int       // numbers of the standard files that the user must own
}

// Names of calls that errors are recognized by.
const (
	opExec = "exec"                     // the creator has exit codes for the execution
	opCwd  = "enter working directory " // the directory follows
)

// steps bounds the number of steps of the program that become makes, and of any other program for a process of the
// container.
func (p *payload) steps() int {
	const most = 512 // files, capabilities, signals and all else that is not counted below
	steps := most + len(p.Process.Rlimits) + 3*strings.Count(p.Process.Cwd, "/")
	if len(p.Process.Args) > 0 {
		steps += len(p.candidates(p.Process.Args[0]))
	}
	return steps
}

// size bounds the bytes that the program of become points to.
func (p *payload) size() int {
	const small = 1 << 20 // groups, capabilities, limits, signals and all else that is not counted below
	process := p.Process
	// The program has a path for each directory on the way to the working directory.
	cwd := len(process.Cwd) * (strings.Count(process.Cwd, "/") + 2)
	size := small + listSize(process.Args) + listSize(process.Env) + unix.PathMax + cwd
	if len(process.Args) > 0 {
		size += listSize(p.candidates(process.Args[0]))
	}
	return size + len(p.Filter.Code)
}

// prepare does what takes more than system calls: it looks up the user in the container's files. It runs on a thread
// whose root is the container's.
func (p *payload) prepare(stage string) error {
	if err := p.findUser(); err != nil {
		return wire.Errorf(stage, "find the user", "", fault.As(errdefs.ErrInvalidArgument, err))
	}
	user := p.Process.User
	if !p.IDs.hasUID(user.UID) || !p.IDs.hasGID(user.GID) {
		unmapped := fault.Errorf(errdefs.ErrInvalidArgument,
			"user %d:%d is not in the id map of the container", user.UID, user.GID)
		return wire.Errorf(stage, "change the user", "", unmapped)
	}
	for _, gid := range user.AdditionalGids {
		if p.IDs.Setgroups && !p.IDs.hasGID(gid) {
			return wire.Errorf(stage, "change the user", "",
				fault.Errorf(errdefs.ErrInvalidArgument, "group %d is not in the id map of the container", gid))
		}
	}
	return nil
}

// prepareFiles makes the standard files blocking, as programs expect them. It notes which of them the user must own, so
// that the user can open them once more as /dev/stderr: those that were made for the container (pipes, sockets and its
// own terminal), and not the caller's files.
func (p *payload) prepareFiles(stdio []*os.File) error {
	p.Own = nil
	for number, file := range stdio {
		fd := int(file.Fd())
		if err := unix.SetNonblock(fd, false); err != nil { // a pipe that a Go program made may not be
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		kind := st.Mode & unix.S_IFMT
		if kind == unix.S_IFIFO || kind == unix.S_IFSOCK || p.Process.Terminal && kind == unix.S_IFCHR {
			p.Own = append(p.Own, number)
		}
	}
	return nil
}

// become appends the calls that turn the child into the payload. The standard files are already in place. The order is
// that of the privileges that each step needs: without no_new_privs the filter can only be installed with
// CAP_SYS_ADMIN, so the capabilities are dropped after it, and with no_new_privs before it.
func (p *payload) become(prog *program) error {
	if len(p.Process.Args) == 0 {
		return wire.Errorf(stageInit, opExec, "", errors.New("no command specified"))
	}
	sets, err := parseCapSets(p.Process.Capabilities)
	if err != nil {
		return err
	}
	if p.Process.Terminal {
		prog.add("take terminal", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	if err := p.limitResources(prog); err != nil {
		return err
	}
	if err := sets.dropBounding(prog); err != nil {
		return err
	}
	if err := p.changeUser(prog); err != nil {
		return err
	}
	p.enterCwd(prog)
	prog.resetSignals()
	prog.unblockSignals()
	// The kernel closes files that are marked close-on-exec only when the memory is already the new program's.
	prog.add("close files", unix.SYS_CLOSE_RANGE, controlFD+1, uintptr(^uint32(0)), 0)
	prog.tie()
	p.restrict(prog, sets)
	p.execute(prog)
	return nil
}

// limitResources appends the calls that set the resource limits.
func (p *payload) limitResources(prog *program) error {
	files := object(prog, []unix.Rlimit{p.Files})
	prog.add("set the limit of open files", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, files, 0)
	for _, limit := range p.Process.Rlimits {
		resource, ok := rlimitNumbers[limit.Type]
		if !ok {
			return fault.Errorf(errdefs.ErrInvalidArgument, "set resource limits: unknown limit %q", limit.Type)
		}
		name := fmt.Sprintf("set resource limit %s=%d:%d", limit.Type, limit.Soft, limit.Hard)
		value := object(prog, []unix.Rlimit{{Cur: limit.Soft, Max: limit.Hard}})
		prog.add(name, unix.SYS_PRLIMIT64, 0, uintptr(resource), value, 0)
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

// changeUser appends the calls that set user, groups and umask and keep all capabilities for the steps that follow.
// Where the namespace denies setgroups(2), as it does with a map that needed no privilege, the groups of the caller
// stay. They are not mapped, and give no more access than the caller has.
func (p *payload) changeUser(prog *program) error {
	const name = "change the user"
	user := p.Process.User
	for _, fd := range p.Own {
		// A file whose owner is not mapped keeps its owner.
		prog.add("prepare the standard files", unix.SYS_FCHOWN, uintptr(fd), uintptr(user.UID), uintptr(^uint32(0))).
			tolerate(unix.EPERM, unix.EINVAL, unix.EROFS)
	}
	all, err := allCaps()
	if err != nil {
		return err
	}
	prog.add(name, unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	if p.IDs.Setgroups {
		prog.add(name, unix.SYS_SETGROUPS, uintptr(len(user.AdditionalGids)), object(prog, user.AdditionalGids))
	}
	uid, gid := uintptr(user.UID), uintptr(user.GID)
	prog.add(name, unix.SYS_SETRESGID, gid, gid, gid)
	prog.add(name, unix.SYS_SETRESUID, uid, uid, uid)
	prog.hide() // because a change of user makes the process dumpable again
	prog.setCaps(name, all, all, 0)
	umask := uint32(0o022)
	if user.Umask != nil {
		umask = *user.Umask
	}
	prog.add(name, unix.SYS_UMASK, uintptr(umask))
	return nil
}

// enterCwd appends the calls that enter the working directory without following a magic link, because /proc/self/fd/N
// could lead out of the root.
func (p *payload) enterCwd(prog *program) {
	cwd := p.Process.Cwd
	if cwd == "" {
		cwd = "/"
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	at := unix.AT_FDCWD
	prog.add(opCwd+cwd, unix.SYS_OPENAT2, uintptr(at), prog.text(cwd), object(prog, []unix.OpenHow{how}),
		unsafe.Sizeof(how))
	prog.add(opCwd+cwd, unix.SYS_FCHDIR, 0)
	prog.ofLast(1)
}

// restrict appends the calls that install the filter and set the final capabilities.
func (p *payload) restrict(prog *program, sets capSets) {
	if p.Process.NoNewPrivileges {
		prog.add("forbid new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
		sets.apply(prog)
		p.Filter.install(prog)
		return
	}
	p.Filter.install(prog)
	sets.apply(prog)
}

// execute appends the calls that execute the first candidate that can be executed, as execvp(3) does.
func (p *payload) execute(prog *program) {
	args, env := prog.list(p.Process.Args), prog.list(p.Process.Env)
	for _, candidate := range p.candidates(p.Process.Args[0]) {
		prog.add(opExec, unix.SYS_EXECVE, prog.text(candidate), args, env).
			tolerate(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
	}
	prog.add(opExec, callFail)
}

// candidates returns the paths that a command name may mean, by the PATH of the command's own environment.
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
