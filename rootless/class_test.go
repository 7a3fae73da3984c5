package rootless

import (
	"net"
	"testing"

	"github.com/containerd/errdefs"
)

// A server answers by the class of an error, so each kind of failure needs its own.
func TestErrorClasses(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := uint16(taken.Addr().(*net.TCPAddr).Port)
	for name, c := range map[string]struct {
		is   func(error) bool
		fail func() error
	}{
		"mode": {errdefs.IsInvalidArgument, func() error {
			_, _, err := PlanMap("other", Caller{})
			return err
		}},
		"no subordinate ids": {errdefs.IsUnavailable, func() error {
			_, _, err := PlanMap(ModeNoMap, Caller{Problem: Problem{What: "none", Fix: "make some"}})
			return err
		}},
		"port": {errdefs.IsInvalidArgument, func() error {
			_, err := ParsePort("0x")
			return err
		}},
		"protocol": {errdefs.IsInvalidArgument, func() error {
			_, err := ParsePort("80/x")
			return err
		}},
		"host": {errdefs.IsInvalidArgument, func() error {
			_, err := HostsFile{Extra: []string{"x"}}.Text()
			return err
		}},
		"name server": {errdefs.IsInvalidArgument, func() error {
			return ResolvConf{Servers: []string{"x"}}.Validate()
		}},
		"taken port": {errdefs.IsConflict, func() error {
			_, err := PortMapping{HostIP: "127.0.0.1", HostPort: port, ContainerPort: 1, Protocol: "tcp"}.probe()
			return err
		}},
		"no program":     {errdefs.IsUnavailable, func() error { return ErrNoSlirp }},
		"what is not OK": {errdefs.IsUnavailable, func() error { return require(Finding{}) }},
	} {
		if err := c.fail(); !c.is(err) {
			t.Errorf("%s: %v has another class", name, err)
		}
	}
}
