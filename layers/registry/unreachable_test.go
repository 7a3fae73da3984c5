package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/rcrun/rcrun/layers/registry"
)

func TestUnreachable(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: err} }
	for _, c := range []struct {
		err  error
		want string
	}{
		{dial(&net.DNSError{Err: "no such host", Name: "r.example", IsNotFound: true}),
			"r.example is not known to the name server"},
		{dial(&net.DNSError{Err: "server misbehaving", Name: "r.example", IsTemporary: true}),
			"no name server answers what r.example is; is the network up?"},
		{dial(syscall.ECONNREFUSED), "connection refused by 192.0.2.1:443"},
		{dial(syscall.ENETUNREACH), "network is unreachable (192.0.2.1:443); is the network up?"},
		{dial(syscall.EHOSTUNREACH), "no route to host (192.0.2.1:443); is the network up?"},
		{dial(context.DeadlineExceeded), "192.0.2.1:443 does not answer; is the network up?"},
	} {
		err := registry.Unreachable(fmt.Errorf("fetching manifest: pinging container registry: %w", c.err), "r.example")
		if text := "the registry r.example cannot be reached: "; !strings.HasPrefix(err.Error(), text) ||
			!strings.Contains(err.Error(), c.want) || !errors.Is(err, c.err) {
			t.Errorf("%v: %q, want %q", c.err, err, c.want)
		}
	}
	for _, err := range []error{nil, errors.New("manifest unknown"), &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		fmt.Errorf("%w (Mirrors also failed: [x])", dial(syscall.ECONNREFUSED))} {
		if got := registry.Unreachable(err, "r.example"); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
