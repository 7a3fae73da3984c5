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

// payload is what a process of a container executes, and as whom. init and exec both end in it.
type payload struct {
	Process *specs.Process
	Filter  seccompFilter
	IDs     idMaps
	Files   unix.Rlimit // of open files, if the specification has none
	Own     []int       // standard files that the user is to own
}

// Names of calls by which errors are told apart.
const (
	opExec = "exec"                     // for the execution itself the creator has an exit code
	opCwd  = "enter working directory " // the directory follows
)

// steps bounds how many steps the program of become has, and any other for a process of the container.
func (p *payload) steps() int {
	const most = 512 // but for what follows: files, limits, capabilities, signals
	steps := most + len(p.Process.Rlimits) + 3*strings.Count(p.Process.Cwd, "/")
	if len(p.Process.Args) > 0 {
		steps += len(p.candidates(p.Process.Args[0]))
	}
	return steps
}

// size bounds how many bytes the program of become points to.
func (p *payload) size() int {
	const small = 1 << 20 // all but what follows: groups, filters, capabilities, limits, signals
	process := p.Process
	// The working directory is spelled out up to each of its parts.
	cwd := len(process.Cwd) * (strings.Count(process.Cwd, "/") + 2)
	size := small + listSize(process.Args) + listSize(process.Env) + unix.PathMax + cwd
	if len(process.Args) > 0 {
		size += listSize(p.candidates(process.Args[0]))
	}
	return size + len(p.Filter.Code)
}

// prepare does what takes more than system calls: it looks the user up in the container's files, on a thread whose root
// is the container's.
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

// prepareFiles makes the standard files what programs expect them to be, and notes which the user is to own, so that they
// can be opened once more, as /dev/stderr. Those are what was made for the container, pipes, sockets and its own terminal,
// and not the caller's files.
func (p *payload) prepareFiles(stdio []*os.File) error {
	p.Own = nil
	for number, file := range stdio {
		fd := int(file.Fd())
		if err := unix.SetNonblock(fd, false); err != nil { // as a pipe made by a Go program may not be
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

// become appends what turns the child into the payload. The standard files are in their places. The order is that of
// the privileges that each step needs. Without no_new_privs the filter can only be installed with CAP_SYS_ADMIN, so
// dropping the capabilities comes after it in that case and before it in the other.
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
	// The kernel closes what is marked for it only when the memory is already the new program's.
	prog.add("close files", unix.SYS_CLOSE_RANGE, controlFD+1, uintptr(^uint32(0)), 0)
	prog.tie()
	p.restrict(prog, sets)
	p.execute(prog)
	return nil
}

// limitResources appends what sets the resource limits.
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

// changeUser appends what sets user, groups and umask, keeping all capabilities for the steps that follow. Where the
// namespace denies setgroups(2), as it does with a map that needed no privilege, the groups of the caller stay: they
// are not mapped and give nothing but the access the caller has.
func (p *payload) changeUser(prog *program) error {
	const name = "change the user"
	user := p.Process.User
	for _, fd := range p.Own {
		// A file whose owner is not mapped stays as open as it is.
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
	prog.hide() // what sets the user shows the process again
	prog.setCaps(name, all, all, 0)
	umask := uint32(0o022)
	if user.Umask != nil {
		umask = *user.Umask
	}
	prog.add(name, unix.SYS_UMASK, uintptr(umask))
	return nil
}

// enterCwd appends what goes to the working directory without passing a magic link: /proc/self/fd/N could lead out of
// the root.
func (p *payload) enterCwd(prog *program) {
	cwd := p.Process.Cwd
	if cwd == "" {
		cwd = "/"
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	at := unix.AT_FDCWD
	prog.add(opCwd+cwd, unix.SYS_OPENAT2, uintptr(at), prog.text(cwd), object(prog, []unix.OpenHow{how}), unsafe.Sizeof(how))
	prog.add(opCwd+cwd, unix.SYS_FCHDIR, 0)
	prog.ofLast(1)
}

// restrict appends what installs the filter and leaves the process with the capabilities.
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

// execute appends what runs the first of the candidates that can be, as execvp(3) does.
func (p *payload) execute(prog *program) {
	args, env := prog.list(p.Process.Args), prog.list(p.Process.Env)
	for _, candidate := range p.candidates(p.Process.Args[0]) {
		prog.add(opExec, unix.SYS_EXECVE, prog.text(candidate), args, env).tolerate(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
	}
	prog.add(opExec, callFail)
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
