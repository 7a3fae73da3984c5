package runtime

import (
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate go run seccomp_generate.go

// machine is one value of the architecture that the kernel shows to a filter.
type machine struct {
	audit uint32
	abis  []abi
}

// abi is one numbering of system calls.
type abi struct {
	arch   specs.Arch
	column int               // of syscallTable
	own    map[string]uint32 // numbers that replace those of the table, or are missing from it
	lacks  []string          // calls of the table that this numbering does not have
	bit    uint32            // set in all its numbers
}

// x32Bit marks the numbers of the x32 ABI, which shares the architecture of x86-64.
const x32Bit = 0x40000000

var machines = []machine{
	{unix.AUDIT_ARCH_X86_64, []abi{{arch: specs.ArchX86_64, column: columnAMD64},
		{arch: specs.ArchX32, column: columnAMD64, own: x32Own, lacks: x32Lacks, bit: x32Bit}}},
	{unix.AUDIT_ARCH_I386, []abi{{arch: specs.ArchX86, column: column386}}},
	{unix.AUDIT_ARCH_AARCH64, []abi{{arch: specs.ArchAARCH64, column: columnARM64}}},
	{unix.AUDIT_ARCH_ARM, []abi{{arch: specs.ArchARM, column: columnARM, own: armOwn}}},
	{unix.AUDIT_ARCH_RISCV64, []abi{{arch: specs.ArchRISCV64, column: columnRISCV64}}},
}

// x32Own are the calls to which x32 gives numbers of its own, because their structures differ.
var x32Own = map[string]uint32{
	"rt_sigaction": 512, "rt_sigreturn": 513, "ioctl": 514, "readv": 515, "writev": 516, "recvfrom": 517,
	"sendmsg": 518, "recvmsg": 519, "execve": 520, "ptrace": 521, "rt_sigpending": 522, "rt_sigtimedwait": 523,
	"rt_sigqueueinfo": 524, "sigaltstack": 525, "timer_create": 526, "mq_notify": 527, "kexec_load": 528,
	"waitid": 529, "set_robust_list": 530, "get_robust_list": 531, "vmsplice": 532, "move_pages": 533,
	"preadv": 534, "pwritev": 535, "rt_tgsigqueueinfo": 536, "recvmmsg": 537, "sendmmsg": 538,
	"process_vm_readv": 539, "process_vm_writev": 540, "setsockopt": 541, "getsockopt": 542, "io_setup": 543,
	"io_submit": 544, "execveat": 545, "preadv2": 546, "pwritev2": 547,
}

// x32Lacks are the calls that only the 64-bit ABI has, according to the kernel's
// arch/x86/entry/syscalls/syscall_64.tbl. In x32 their numbers call nothing.
var x32Lacks = []string{
	"_sysctl", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "get_thread_area",
	"map_shadow_stack", "nfsservctl", "query_module", "set_thread_area", "uselib", "vserver",
}

// armOwn are the private calls of 32-bit ARM.
var armOwn = map[string]uint32{
	"breakpoint": 0xf0001, "cacheflush": 0xf0002, "usr26": 0xf0003, "usr32": 0xf0004, "set_tls": 0xf0005,
}

// number returns the number of a system call.
func (a abi) number(name string) (uint32, bool) {
	if nr, ok := a.own[name]; ok {
		return nr | a.bit, true
	}
	if slices.Contains(a.lacks, name) {
		return 0, false
	}
	i, found := slices.BinarySearchFunc(syscallTable[:], name, func(s syscallNumbers, name string) int {
		return strings.Compare(s.name, name)
	})
	if !found || syscallTable[i].numbers[a.column] < 0 {
		return 0, false
	}
	return uint32(syscallTable[i].numbers[a.column]) | a.bit, true
}

// nativeArch returns the architecture that this binary is made for.
func nativeArch() (specs.Arch, error) {
	switch goruntime.GOARCH {
	case "amd64":
		return specs.ArchX86_64, nil
	case "386":
		return specs.ArchX86, nil
	case "arm64":
		return specs.ArchAARCH64, nil
	case "arm":
		return specs.ArchARM, nil
	case "riscv64":
		return specs.ArchRISCV64, nil
	}
	return "", fmt.Errorf("no seccomp tables for %s", goruntime.GOARCH)
}
