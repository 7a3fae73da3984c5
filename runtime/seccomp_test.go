package runtime

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// filterVM runs a compiled profile on system calls, as the kernel would.
type filterVM struct{ vm *bpf.VM }

func newFilterVM(t rapid.TB, profile *specs.LinuxSeccomp) filterVM {
	t.Helper()
	program, err := compileSeccomp(profile, specs.ArchX86_64)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bpf.Assemble(program); err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return filterVM{vm}
}

// run returns the filter's value. This machine loads words as big endian, whereas the kernel uses the native order.
func (f filterVM) run(t rapid.TB, audit, nr uint32, args [6]uint64) uint32 {
	t.Helper()
	var data []byte
	for _, word := range []uint32{nr, audit, 0, 0} {
		data = binary.BigEndian.AppendUint32(data, word)
	}
	for _, arg := range args {
		data = binary.BigEndian.AppendUint32(data, uint32(arg))
		data = binary.BigEndian.AppendUint32(data, uint32(arg>>32))
	}
	value, err := f.vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(value)
}

const (
	allow = unix.SECCOMP_RET_ALLOW
	eperm = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosy = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

func TestDefaultProfile(t *testing.T) {
	profile, err := DefaultSeccomp(DefaultSpec())
	must(t, err)
	if profile.Architectures[0] != specs.ArchX86_64 {
		t.Skip("the expectations are those of x86-64")
	}
	vm := newFilterVM(t, profile)
	const x64, x86 = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386
	for _, test := range []struct {
		what  string
		audit uint32
		nr    uint32
		args  [6]uint64
		want  uint32
	}{
		{"read", x64, 0, [6]uint64{}, allow},
		{"execve", x64, 59, [6]uint64{}, allow},
		{"mount", x64, 165, [6]uint64{}, eperm},
		{"bpf", x64, 321, [6]uint64{}, eperm},
		{"unshare", x64, 272, [6]uint64{}, eperm},
		{"personality(0)", x64, 135, [6]uint64{0}, allow},
		{"personality(8)", x64, 135, [6]uint64{8}, allow},
		{"personality(56)", x64, 135, [6]uint64{56}, eperm},
		{"personality(query)", x64, 135, [6]uint64{0xffffffff}, allow},
		{"personality(8 and a high bit)", x64, 135, [6]uint64{8 | 1<<32}, eperm},
		{"clone of a thread", x64, 56, [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow},
		{"clone with a user namespace", x64, 56, [6]uint64{unix.CLONE_NEWUSER | unix.CLONE_VM}, eperm},
		{"clone with a network namespace", x64, 56, [6]uint64{unix.CLONE_NEWNET}, eperm},
		{"clone3", x64, 435, [6]uint64{}, enosy},
		{"socket(AF_INET)", x64, 41, [6]uint64{unix.AF_INET}, allow},
		{"socket(AF_VSOCK)", x64, 41, [6]uint64{unix.AF_VSOCK}, eperm},
		{"a call of the future", x64, 9999, [6]uint64{}, enosy},
		{"read, i386", x86, 3, [6]uint64{}, allow},
		{"mount, i386", x86, 21, [6]uint64{}, eperm},
		{"a call of the future, i386", x86, 9999, [6]uint64{}, enosy},
		{"read, x32", x64, x32Bit, [6]uint64{}, allow},
		{"ioctl, x32", x64, x32Bit | 514, [6]uint64{}, allow},
		{"mount, x32", x64, x32Bit | 165, [6]uint64{}, eperm},
		{"read, arm64", unix.AUDIT_ARCH_AARCH64, 63, [6]uint64{}, unix.SECCOMP_RET_KILL_PROCESS},
	} {
		if got := vm.run(t, test.audit, test.nr, test.args); got != test.want {
			t.Errorf("%s: %#x, want %#x", test.what, got, test.want)
		}
	}
}

// Every call that the default profile names without conditions gets its action, in each of its architectures.
func TestDefaultProfileNames(t *testing.T) {
	profile, err := DefaultSeccomp(DefaultSpec())
	must(t, err)
	vm := newFilterVM(t, profile)
	checked := 0
	for _, machine := range machines {
		for _, abi := range machine.abis {
			if !slices.Contains(profile.Architectures, abi.arch) {
				continue
			}
			for _, entry := range profile.Syscalls {
				want, err := returnAction(entry.Action, entry.ErrnoRet)
				must(t, err)
				for _, name := range entry.Names {
					nr, ok := abi.number(name)
					if !ok || len(entry.Args) > 0 {
						continue
					}
					checked++
					if got := vm.run(t, machine.audit, nr, [6]uint64{}); got != want {
						t.Errorf("%s of %s: %#x, want %#x", name, abi.arch, got, want)
					}
				}
			}
		}
	}
	if checked < 500 {
		t.Errorf("only %d calls were checked", checked)
	}
}

func TestSyscallTable(t *testing.T) {
	if !slices.IsSortedFunc(syscallTable[:], func(a, b syscallNumbers) int { return strings.Compare(a.name, b.name) }) {
		t.Error("the table is not sorted")
	}
	for name, want := range map[string]uint32{
		"read": unix.SYS_READ, "openat2": unix.SYS_OPENAT2, "pivot_root": unix.SYS_PIVOT_ROOT,
	} {
		native, err := nativeArch()
		must(t, err)
		for _, machine := range machines {
			for _, abi := range machine.abis {
				if nr, ok := abi.number(name); abi.arch == native && (!ok || nr != want) {
					t.Errorf("%s is %d, %v; want %d", name, nr, ok, want)
				}
			}
		}
	}
}

// holds is the meaning of a condition, written in the simplest way.
func holds(arg specs.LinuxSeccompArg, value uint64) bool {
	switch arg.Op {
	case specs.OpEqualTo:
		return value == arg.Value
	case specs.OpNotEqual:
		return value != arg.Value
	case specs.OpLessThan:
		return value < arg.Value
	case specs.OpLessEqual:
		return value <= arg.Value
	case specs.OpGreaterThan:
		return value > arg.Value
	case specs.OpGreaterEqual:
		return value >= arg.Value
	default:
		return value&arg.Value == arg.ValueTwo&arg.Value
	}
}

// judge is the meaning of a profile with distinct argument numbers, for a call by name.
func judge(profile *specs.LinuxSeccomp, name string, args [6]uint64) specs.LinuxSeccompAction {
	for _, conditional := range []bool{true, false} {
		for _, entry := range profile.Syscalls {
			if !slices.Contains(entry.Names, name) || conditional != (len(entry.Args) > 0) {
				continue
			}
			fails := func(a specs.LinuxSeccompArg) bool { return !holds(a, args[a.Index]) }
			if !slices.ContainsFunc(entry.Args, fails) {
				return entry.Action
			}
		}
	}
	return profile.DefaultAction
}

// Values near the borders of the two halves that the machine compares.
var interesting = []uint64{0, 1, 2, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 2 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 2,
	1<<64 - 1}

func TestCompileMeansProfile(t *testing.T) {
	names := []string{"read", "write", "open", "close", "ioctl", "mmap", "personality", "clone", "socket", "openat2",
		"execve"}
	actions := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActLog, specs.ActTrap,
		specs.ActKillProcess, specs.ActKillThread, specs.ActTrace}
	operators := []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual}
	abis := map[specs.Arch]abi{}
	audits := map[specs.Arch]uint32{}
	for _, machine := range machines {
		for _, abi := range machine.abis {
			abis[abi.arch], audits[abi.arch] = abi, machine.audit
		}
	}
	arches := []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM}

	drawArg := func(t *rapid.T, index uint) specs.LinuxSeccompArg {
		value := rapid.SampledFrom(interesting)
		return specs.LinuxSeccompArg{Index: index, Op: rapid.SampledFrom(operators).Draw(t, "op"),
			Value: value.Draw(t, "value"), ValueTwo: value.Draw(t, "two")}
	}
	rapid.Check(t, func(t *rapid.T) {
		profile := &specs.LinuxSeccomp{
			DefaultAction: rapid.SampledFrom(actions).Draw(t, "default"),
			Architectures: rapid.SliceOfNDistinct(rapid.SampledFrom(arches), 1, 5, rapid.ID).Draw(t, "arches"),
		}
		for range rapid.IntRange(0, 12).Draw(t, "entries") {
			entry := specs.LinuxSyscall{
				Names:  rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "names"),
				Action: rapid.SampledFrom(actions).Draw(t, "action"),
			}
			for _, index := range rapid.SliceOfNDistinct(rapid.UintRange(0, 5), 0, 3, rapid.ID).Draw(t, "indexes") {
				entry.Args = append(entry.Args, drawArg(t, index))
			}
			profile.Syscalls = append(profile.Syscalls, entry)
		}
		vm := newFilterVM(t, profile)
		for range 50 {
			arch := rapid.SampledFrom(profile.Architectures).Draw(t, "arch")
			name := rapid.SampledFrom(names).Draw(t, "name")
			var args [6]uint64
			for i := range args {
				args[i] = rapid.SampledFrom(interesting).Draw(t, "arg")
			}
			nr, ok := abis[arch].number(name)
			named := slices.ContainsFunc(profile.Syscalls, func(s specs.LinuxSyscall) bool {
				return slices.Contains(s.Names, name)
			})
			if !ok || !named {
				continue // where the default may be ENOSYS
			}
			want, _ := returnAction(judge(profile, name, args), nil)
			if got := vm.run(t, audits[arch], nr, args); got != want {
				t.Fatalf("%s of %s with %x: %#x, want %#x", name, arch, args, got, want)
			}
		}
	})
}

// Conditions that name one argument twice are alternatives, as runc has them.
func TestRepeatedArgument(t *testing.T) {
	vm := newFilterVM(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{
		Names: []string{"socket"}, Action: specs.ActAllow,
		Args: []specs.LinuxSeccompArg{
			{Index: 0, Value: 1, Op: specs.OpEqualTo}, {Index: 0, Value: 2, Op: specs.OpEqualTo},
		},
	}}})
	for value, want := range map[uint64]uint32{1: allow, 2: allow, 3: eperm} {
		if got := vm.run(t, unix.AUDIT_ARCH_X86_64, 41, [6]uint64{value}); got != want {
			t.Errorf("socket(%d): %#x, want %#x", value, got, want)
		}
	}
}

func TestErrnoRet(t *testing.T) {
	errno := uint(38)
	vm := newFilterVM(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"read"}, Action: specs.ActErrno, ErrnoRet: &errno},
		{Names: []string{"write", "nosuchcall"}, Action: specs.ActErrno}}})
	for nr, want := range map[uint32]uint32{0: enosy, 1: eperm, 2: allow, 9999: allow} {
		if got := vm.run(t, unix.AUDIT_ARCH_X86_64, nr, [6]uint64{}); got != want {
			t.Errorf("call %d: %#x, want %#x", nr, got, want)
		}
	}
}

func TestBadProfiles(t *testing.T) {
	for _, profile := range []specs.LinuxSeccomp{
		{DefaultAction: "SCMP_ACT_NOSUCH"},
		{DefaultAction: specs.ActNotify},
		{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"NOSUCH"}},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}}}},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_NOSUCH"}}}}},
	} {
		if _, err := newFilter(&profile); err == nil {
			t.Errorf("%+v is accepted", profile)
		}
	}
}
