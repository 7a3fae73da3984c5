package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// seccompFilter is a compiled profile in the form in which it travels to the stages; the zero value is none.
type seccompFilter struct {
	Code  []byte // struct sock_filter after struct sock_filter
	Flags uintptr
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
	return seccompFilter{code, flags}, nil
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
			// Meant for all threads of the process that installs it; here one thread becomes the process.
		default:
			return 0, fmt.Errorf("seccomp flag %q is not supported", name)
		}
	}
	return flags, nil
}

// install puts the calling thread under the filter.
func (f seccompFilter) install() error {
	if len(f.Code) == 0 {
		return nil
	}
	if len(f.Code)%filterSize != 0 {
		return errors.New("seccomp filter is cut short")
	}
	filter := make([]unix.SockFilter, len(f.Code)/filterSize)
	for i := range filter {
		raw := f.Code[i*filterSize:]
		filter[i] = unix.SockFilter{
			Code: binary.NativeEndian.Uint16(raw), Jt: raw[2], Jf: raw[3], K: binary.NativeEndian.Uint32(raw[4:]),
		}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, f.Flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("install seccomp filter: %w", errno)
	}
	return nil
}
