package runtime

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A profile becomes a program for the kernel's classic BPF machine in this shape:
//
//	load arch; for each architecture: is it this one? then
//	    load nr; binary search over ranges of system call numbers, each with
//	        return action                      or
//	        the conditions of its rules in turn, each with its own return
//	kill the process: a call through an architecture that the profile does not name
//
// Decisions and rationale:
//
//   - The rules of a call are tried in their order, those with conditions before those without.
//   - All conditions of a rule must hold. Where two of them name the same argument, each is a rule of its own, because
//     that is what profiles written for runc mean.
//   - A name that is in no table is left out, as runc does, because profiles name the calls of newer kernels.
//   - Under a denying default, calls that are newer than all that the profile names return ENOSYS, as with runc: a C
//     library that gets EPERM would not fall back to the older call.

// Offsets of struct seccomp_data. All architectures here are little endian.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// maxInstructions is BPF_MAXINSNS.
const maxInstructions = 4096

// compileSeccomp translates a profile; native is the architecture of a profile that names none.
func compileSeccomp(profile *specs.LinuxSeccomp, native specs.Arch) ([]bpf.Instruction, error) {
	fallback, err := returnAction(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	arches := profile.Architectures
	if len(arches) == 0 {
		arches = []specs.Arch{native}
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetArch, Size: 4}}
	for _, machine := range machines {
		calls, err := collectCalls(profile, machine, arches)
		if err != nil {
			return nil, err
		}
		if calls == nil {
			continue
		}
		load := bpf.LoadAbsolute{Off: offsetNr, Size: 4}
		block := append([]bpf.Instruction{load}, search(segments(calls, fallback))...)
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: machine.audit, SkipTrue: 1},
			bpf.Jump{Skip: uint32(len(block))})
		program = append(program, block...)
	}
	program = append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS})
	if len(program) > maxInstructions {
		return nil, fmt.Errorf("seccomp profile needs %d instructions, the kernel takes %d",
			len(program), maxInstructions)
	}
	return program, nil
}

// call is what a profile says about one system call number.
type call struct {
	nr    uint32
	rules []rule // with conditions
	final uint32 // the return value where no rule applies
	sure  bool   // final comes from a rule rather than from the default
}

type rule struct {
	args   []specs.LinuxSeccompArg
	action uint32
}

// collectCalls returns what the profile says about the calls of those arches that belong to machine, sorted by number;
// nil if there are no such arches.
func collectCalls(profile *specs.LinuxSeccomp, machine machine, arches []specs.Arch) ([]call, error) {
	fallback, err := returnAction(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	byNumber := map[uint32]*call{}
	found := false
	for _, abi := range machine.abis {
		if !slices.Contains(arches, abi.arch) {
			continue
		}
		found = true
		for _, entry := range profile.Syscalls {
			if err := addEntry(byNumber, abi, entry, fallback); err != nil {
				return nil, err
			}
		}
	}
	if !found {
		return nil, nil
	}
	calls := make([]call, 0, len(byNumber)+1)
	for _, c := range byNumber {
		calls = append(calls, *c)
	}
	slices.SortFunc(calls, func(a, b call) int { return int(int64(a.nr) - int64(b.nr)) })
	return calls, nil
}

func addEntry(calls map[uint32]*call, abi abi, entry specs.LinuxSyscall, fallback uint32) error {
	action, err := returnAction(entry.Action, entry.ErrnoRet)
	if err != nil {
		return err
	}
	for _, name := range entry.Names {
		nr, ok := abi.number(name)
		if !ok {
			continue
		}
		c := calls[nr]
		if c == nil {
			c = &call{nr: nr, final: fallback}
			calls[nr] = c
		}
		if err := c.add(entry.Args, action); err != nil {
			return fmt.Errorf("seccomp rule for %s: %w", name, err)
		}
	}
	return nil
}

func (c *call) add(args []specs.LinuxSeccompArg, action uint32) error {
	for _, arg := range args {
		if err := checkArg(arg); err != nil {
			return err
		}
	}
	switch {
	case len(args) == 0 && !c.sure:
		c.final, c.sure = action, true
	case len(args) == 0:
		// An earlier rule without conditions has already decided.
	case repeatsIndex(args):
		for _, arg := range args {
			c.rules = append(c.rules, rule{[]specs.LinuxSeccompArg{arg}, action})
		}
	default:
		c.rules = append(c.rules, rule{args, action})
	}
	return nil
}

func repeatsIndex(args []specs.LinuxSeccompArg) bool {
	seen := map[uint]bool{}
	for _, arg := range args {
		if seen[arg.Index] {
			return true
		}
		seen[arg.Index] = true
	}
	return false
}

// segment is a range of system call numbers, up to the next segment's start, that are treated alike.
type segment struct {
	start uint32
	code  []bpf.Instruction // ends in a return
}

// widestGap is more than any numbering leaves out. A wider gap separates two ranges of numbers.
const widestGap = 1 << 12

// segments covers all numbers: those of calls, the gaps between them, and those beyond.
func segments(calls []call, fallback uint32) []segment {
	if len(calls) == 0 {
		return []segment{{0, returning(fallback)}}
	}
	var all []segment
	add := func(start uint32, code []bpf.Instruction) {
		if n := len(all); n == 0 || !sameReturn(all[n-1].code, code) {
			all = append(all, segment{start, code})
		}
	}
	next := uint32(0)
	for _, c := range calls {
		switch gap := c.nr - next; {
		case gap > widestGap:
			add(next, returning(beyond(fallback)))
		case gap > 0:
			add(next, returning(fallback))
		}
		add(c.nr, c.code())
		next = c.nr + 1
	}
	add(next, returning(beyond(fallback)))
	return all
}

func returning(value uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.RetConstant{Val: value}}
}

// sameReturn tells whether two segments do nothing but return the same value.
func sameReturn(a, b []bpf.Instruction) bool { return len(a) == 1 && len(b) == 1 && a[0] == b[0] }

// beyond returns the action for calls that are newer than the profile.
func beyond(fallback uint32) uint32 {
	switch fallback & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRACE:
		return fallback
	}
	return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
}

// search makes a binary search for the segment of the loaded number.
func search(all []segment) []bpf.Instruction {
	if len(all) == 1 {
		return all[0].code
	}
	middle := len(all) / 2
	lower, upper := search(all[:middle]), search(all[middle:])
	test := bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: all[middle].start}
	var code []bpf.Instruction
	if len(lower) <= 255 {
		test.SkipTrue = uint8(len(lower))
		code = append(code, test)
	} else { // a conditional jump reaches at most 255 instructions
		test.SkipFalse = 1
		code = append(code, test, bpf.Jump{Skip: uint32(len(lower))})
	}
	return append(append(code, lower...), upper...)
}

// returnAction returns the filter's return value for an action.
func returnAction(action specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno) & unix.SECCOMP_RET_DATA
	}
	switch action {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	}
	return 0, fmt.Errorf("seccomp action %q is not supported", action)
}
