package runtime

import (
	"encoding/binary"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// seccompFilter is a compiled profile in the form that is sent to the stages. The zero value is no filter.
type seccompFilter struct {
	Code     []byte // an array of struct sock_filter
	Flags    uintptr
	KeysHeld bool // the filter allows no system call that uses keys
}

const filterSize = 8 // of a struct sock_filter

// newFilter compiles a profile; nil gives no filter.
func newFilter(profile *specs.LinuxSeccomp) (seccompFilter, error) {
	if profile == nil {
		return seccompFilter{}, nil
	}
	native, err := nativeArch()
	if err != nil {
		return seccompFilter{}, err
	}
	flags, err := filterFlags(profile.Flags)
	if err != nil {
		return seccompFilter{}, err
	}
	program, err := compileSeccomp(profile, native)
	if err != nil {
		return seccompFilter{}, err
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return seccompFilter{}, fmt.Errorf("assemble seccomp filter: %w", err)
	}
	var code []byte
	for _, instruction := range raw {
		code = binary.NativeEndian.AppendUint16(code, instruction.Op)
		code = append(code, instruction.Jt, instruction.Jf)
		code = binary.NativeEndian.AppendUint32(code, instruction.K)
	}
	return seccompFilter{code, flags, holdsKeys(profile)}, nil
}

// holdsKeys tells whether a profile allows no system call that uses keys.
func holdsKeys(profile *specs.LinuxSeccomp) bool {
	if profile.DefaultAction == specs.ActAllow || profile.DefaultAction == specs.ActLog {
		return false
	}
	for _, rule := range profile.Syscalls {
		for _, name := range rule.Names {
			if name == "keyctl" || name == "add_key" || name == "request_key" {
				return false
			}
		}
	}
	return true
}

func filterFlags(names []specs.LinuxSeccompFlag) (uintptr, error) {
	var flags uintptr
	for _, name := range names {
		switch name {
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case "SECCOMP_FILTER_FLAG_TSYNC":
			// It is meant for all threads of the installing process. Here the one thread becomes the process.
		default:
			return 0, fmt.Errorf("seccomp flag %q is not supported", name)
		}
	}
	return flags, nil
}

// install appends the call that puts the process under the filter.
func (f seccompFilter) install(p *program) {
	if len(f.Code) == 0 {
		return
	}
	type sockFprog struct { // struct sock_fprog
		length uint16
		filter uintptr
	}
	filter := sockFprog{uint16(len(f.Code) / filterSize), p.data(f.Code)}
	p.add("install seccomp filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, f.Flags,
		object(p, []sockFprog{filter}))
}
