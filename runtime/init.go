package runtime

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/wire"
)

const stageInit = "init"

// The descriptors of init between its creation and its start.
const (
	controlFD      = 3
	barrierReadFD  = 4
	barrierWriteFD = 5
)

// bearInit forks the container's first process into its namespaces. One of them is a user namespace below the
// sandbox's, which owns all others. The process shares the sandbox's mount namespace and open files until settleInit.
func (s *sandbox) bearInit() error {
	payload := s.payload()
	p, err := newProgram(payload.steps()+2*len(s.config.Spec.Mounts), payload.size())
	if err != nil {
		return wire.Errorf(stageSandbox, "start init", "", err)
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		p.free()
		return wire.Errorf(stageSandbox, "start init", "", err)
	}
	defer unix.Close(self)
	p.dieWithParent(self)
	flags := newNamespaces(s.config.Spec, containerNamespaces)
	s.init, err = fork(p, unix.CLONE_NEWUSER|unix.CLONE_FILES|uintptr(flags), runAndServe)
	if err != nil {
		return wire.Errorf(stageSandbox, "start in a new user namespace", "", err)
	}
	if err := s.init.await(); err != nil {
		return wire.Errorf(stageSandbox, "start init", "", err)
	}
	if err := s.mapInit(); err != nil {
		return err
	}
	return s.creator.Send(msgBorn, started{Pid: s.init.pid})
}

// mapInit maps all ids of the sandbox's user namespace into that of init, each to itself. So ids mean the same in both,
// as the kernel shows them and in FUSE requests.
func (s *sandbox) mapInit() error {
	if err := s.writeInit("uid_map", idmap.Identity(s.ids.UIDs).String()); err != nil {
		return err
	}
	if err := s.writeInit("gid_map", idmap.Identity(s.ids.GIDs).String()); err != nil {
		return err
	}
	if adjust := s.config.Spec.Process.OOMScoreAdj; adjust != nil {
		return s.writeInit("oom_score_adj", strconv.Itoa(*adjust))
	}
	return nil
}

// writeInit writes to a file of init in the host's proc filesystem.
func (s *sandbox) writeInit(name, text string) error {
	file := fmt.Sprintf("/proc/%d/%s", s.init.pid, name)
	if err := writeProc(file, text); err != nil {
		return wire.Errorf(stageSandbox, "write", file, err)
	}
	return nil
}

// settleInit gives init the standard files and a copy of the mount namespace. Init's user namespace owns the copy and
// the sandbox's owns the original, so the kernel locks all mounts: no process in the container can move, detach or
// loosen one that was made here (mount_namespaces(7)), except with Config.OpenMounts.
func (s *sandbox) settleInit() error {
	p := s.init.program
	p.reset()
	p.hide()
	p.joinKeyring(s.config.Filter)
	p.add("become a session leader", unix.SYS_SETSID)
	p.add("name the process", unix.SYS_PRCTL, unix.PR_SET_NAME, p.text("rcrun-init"))
	held, err := s.giveFiles(p)
	defer wire.CloseFiles(held)
	if err != nil {
		return wire.Errorf(stageSandbox, "pass files to init", "", err)
	}
	p.add("enter root", unix.SYS_CHDIR, p.text("/"))
	if !s.config.OpenMounts { // with it init has a copy already
		p.add("copy the mount namespace", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
		s.propagate(p)
	}
	p.makeWorkingDirectory(s.config.Spec.Process.Cwd)
	if err := s.init.run(); err != nil {
		return stageError(stageInit, err, nil)
	}
	s.init.closeTheirs()
	return nil
}

// giveFiles appends the calls that give init its own files and close those of the sandbox. The caller closes the
// returned files when init has its copies.
func (s *sandbox) giveFiles(p *program) (held []*os.File, err error) {
	payload := s.payload()
	if err := payload.prepareFiles(s.stdio); err != nil {
		return nil, err
	}
	s.own = payload.Own
	files := append(s.stdio[:3:3], s.init.theirs)
	if s.config.Init {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		defer w.Close()
		files = append(files, r, w)
	}
	p.add("unshare the open files", unix.SYS_UNSHARE, unix.CLONE_FILES)
	for number, file := range files {
		copied, err := aside(int(file.Fd()))
		if err != nil {
			return held, err
		}
		held = append(held, copied)
		p.place(copied.Fd(), number)
	}
	p.add("close files", unix.SYS_CLOSE_RANGE, uintptr(len(files)), uintptr(^uint32(0)), 0)
	p.header().control = controlFD
	return held, nil
}

// place appends the call that gives a child a descriptor of the parent, made by aside, under its number.
func (p *program) place(fd uintptr, number int) *step {
	flags := uintptr(0)
	if number == controlFD {
		flags = unix.O_CLOEXEC // so that the execution of the payload shows
	}
	return p.add("open file "+strconv.Itoa(number), unix.SYS_DUP3, fd, uintptr(number), flags)
}

// propagate appends the calls that make mounts shared where the specification asks for it, because the copy of a shared
// mount is not shared.
func (s *sandbox) propagate(p *program) {
	spec := s.config.Spec
	if spec.Linux.RootfsPropagation == "shared" || spec.Linux.RootfsPropagation == "rshared" {
		p.share("/", false)
	}
	for _, mount := range spec.Mounts {
		if o := parseMountOptions(mount); o.propagation&unix.MS_SHARED != 0 {
			p.share(mount.Destination, o.propagation&unix.MS_REC != 0)
		}
	}
}

func (p *program) share(path string, recursive bool) {
	flags := uintptr(0)
	if recursive {
		flags = unix.AT_RECURSIVE
	}
	attr := object(p, []unix.MountAttr{{Propagation: unix.MS_SHARED}})
	at := unix.AT_FDCWD
	p.add("set propagation of "+path, unix.SYS_MOUNT_SETATTR, uintptr(at), p.text(path), flags, attr,
		unsafe.Sizeof(unix.MountAttr{}))
}

// makeWorkingDirectory appends the calls that make the payload's working directory where it is missing, as the
// container's root, also below a mount. They follow no magic link of proc. Where a parent cannot be entered or the
// filesystem is read-only, the later call that enters the directory reports it.
func (p *program) makeWorkingDirectory(cwd string) {
	how := object(p, []unix.OpenHow{{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_MAGICLINKS,
	}})
	parent, at := "/", unix.AT_FDCWD
	for part := range strings.SplitSeq(path.Clean("/" + cwd)[1:], "/") {
		if part == "" {
			return
		}
		name := "make working directory " + cwd
		p.add(name, unix.SYS_OPENAT2, uintptr(at), p.text(parent), how, unsafe.Sizeof(unix.OpenHow{})).
			tolerate(unix.ENOENT, unix.ELOOP, unix.EACCES)
		p.add(name, unix.SYS_MKDIRAT, 0, p.text(part), 0o755)
		p.ofLast(1).tolerate(unix.EEXIST, unix.EROFS, unix.EBADF)
		p.add(name, unix.SYS_CLOSE, 0)
		p.ofLast(2).tolerate(unix.EBADF)
		parent = path.Join(parent, part)
	}
}

// payload returns what init becomes.
func (s *sandbox) payload() *payload {
	return &payload{Process: s.config.Spec.Process, Filter: s.config.Filter, IDs: s.ids, Own: s.own}
}

// startInit has init execute the payload, by itself or, as a reaper, in a child.
func (s *sandbox) startInit() error {
	payload := s.payload()
	payload.Files = <-s.files
	s.files <- payload.Files // for execs
	err := s.inside(0, true, func() error { return payload.prepare(stageInit) })
	if err != nil {
		return err
	}
	p := s.init.program
	p.reset()
	if s.config.Init {
		if err := payload.reap(p); err != nil {
			return wire.Errorf(stageInit, "restrict the process", "", err)
		}
	}
	if err := payload.become(p); err != nil {
		return wire.Errorf(stageInit, "run", "", err)
	}
	return stageError(stageInit, s.init.run(), payload.Process.Args)
}

// reap appends the calls that make init a reaper, while its child goes on with the calls that follow. The reaper is no
// stronger than the payload: it has the same bounding set, filter and no_new_privs, and of capabilities only CAP_KILL,
// because it must signal processes of other users. The child waits until the reaper has given up the rest.
func (payload *payload) reap(p *program) error {
	fork := p.add("start the payload", callFork)
	p.add("close files", unix.SYS_CLOSE_RANGE, controlFD, barrierReadFD, 0)
	p.add("close files", unix.SYS_CLOSE_RANGE, barrierWriteFD+1, uintptr(^uint32(0)), 0)
	sets, err := parseCapSets(payload.Process.Capabilities)
	if err != nil {
		return err
	}
	kill := capSet(1) << uint(capability.CAP_KILL)
	sets = capSets{bounding: sets.bounding, effective: kill, permitted: kill}
	if err := sets.dropBounding(p); err != nil {
		return err
	}
	payload.restrict(p, sets)
	p.add("let the payload go on", unix.SYS_WRITE, barrierWriteFD, p.data([]byte{0}), 1).mustReturn(1)
	p.add("close files", unix.SYS_CLOSE, barrierWriteFD)
	p.add("reap", callReap)
	fork.args[0] = uintptr(p.len())
	p.add("close files", unix.SYS_CLOSE, barrierWriteFD)
	p.add("wait for the first process", unix.SYS_READ, barrierReadFD, p.data([]byte{0}), 1).mustReturn(1)
	p.add("close files", unix.SYS_CLOSE, barrierReadFD)
	p.add("become a session leader", unix.SYS_SETSID)
	return nil
}

// killedErrno is the errno of errKilled on the wire.
const killedErrno = unix.ECHILD

// stageError turns what a child reports into an error of the stage. args is the command that the child had to execute.
func stageError(stage string, err error, args []string) error {
	var failed *callError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errKilled):
		return &wire.Error{Stage: stage, Op: "run", Errno: killedErrno, Text: err.Error()}
	case !errors.As(err, &failed):
		return wire.Errorf(stage, "run", "", err)
	}
	told := &wire.Error{Stage: stage, Op: failed.name, Errno: failed.errno}
	if failed.name == opExec && len(args) > 0 {
		told.Path = args[0]
	}
	return told
}
