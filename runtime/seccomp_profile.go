package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/strictjson"
)

// profileText is a seccomp profile as files have it. Docker's format is that of OCI with rules that depend on the
// container and the host. Podman's is Docker's with errors by name instead of number.
type profileText struct {
	seccomp.Seccomp
	DefaultErrno string         `json:"defaultErrno"`
	Syscalls     []*profileRule `json:"syscalls"`
}

type profileRule struct {
	seccomp.Syscall
	Errno string `json:"errno"`
}

// LoadSeccomp reads a seccomp profile in the format of OCI, Docker or podman, and evaluates it for the capabilities of
// spec and for this host's architecture and kernel. It refuses a profile with a field that none of these formats has,
// because without that field the profile might allow more than its author meant.
func LoadSeccomp(text []byte, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	var profile profileText
	if err := strictjson.Decode(text, &profile); err != nil {
		return nil, fmt.Errorf("decode seccomp profile: %w", err)
	}
	plain, err := profile.plain()
	if err != nil {
		return nil, err
	}
	evaluated, err := seccomp.LoadProfile(plain, withCapabilities(spec))
	if err != nil {
		return nil, fmt.Errorf("evaluate seccomp profile: %w", err)
	}
	return evaluated, nil
}

// plain checks the profile and returns it in Docker's format.
func (p *profileText) plain() (string, error) {
	switch {
	case p.DefaultAction == "":
		return "", errors.New("the seccomp profile has no defaultAction")
	case p.ListenerPath != "" || p.ListenerMetadata != "":
		return "", errors.New("the seccomp profile names a listener, which is not supported")
	}
	var err error
	if p.DefaultErrnoRet, err = errnoOr(p.DefaultErrno, p.DefaultErrnoRet); err != nil {
		return "", err
	}
	for i, rule := range p.Syscalls {
		if rule == nil || rule.Action == "" {
			return "", fmt.Errorf("rule %d of the seccomp profile has no action", i+1)
		}
		if rule.ErrnoRet, err = errnoOr(rule.Errno, rule.ErrnoRet); err != nil {
			return "", err
		}
		p.Seccomp.Syscalls = append(p.Seccomp.Syscalls, &rule.Syscall)
	}
	text, err := json.Marshal(&p.Seccomp)
	if err != nil {
		return "", fmt.Errorf("encode seccomp profile: %w", err)
	}
	return string(text), nil
}

// errnoOr returns the number of an error by name, such as EPERM, or number where there is no name.
func errnoOr(name string, number *uint) (*uint, error) {
	if name == "" {
		return number, nil
	}
	if n, err := strconv.ParseUint(name, 10, 12); err == nil {
		named := uint(n)
		return &named, nil
	}
	const last = 133 // EHWPOISON, the last that Linux has
	for n := uint(1); n <= last; n++ {
		if unix.ErrnoName(syscall.Errno(n)) == name {
			return &n, nil
		}
	}
	return nil, fmt.Errorf("the seccomp profile names an unknown error %q", name)
}

// DefaultSeccomp returns Docker's default seccomp profile for the capabilities of spec.
func DefaultSeccomp(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	profile, err := seccomp.GetDefaultProfile(withCapabilities(spec))
	if err != nil {
		return nil, fmt.Errorf("make default seccomp profile: %w", err)
	}
	return profile, nil
}

// withCapabilities returns spec, or a specification without capabilities where spec names none.
func withCapabilities(spec *specs.Spec) *specs.Spec {
	if spec.Process == nil || spec.Process.Capabilities == nil {
		return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	}
	return spec
}
