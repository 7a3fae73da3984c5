package layers

import (
	"context"
	"net/http"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// TestRegistryErrors checks what class the errors of a registry have, and of one that cannot be reached.
func TestRegistryErrors(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	for _, c := range []struct {
		ref    string
		broken breakage
		class  error
	}{
		{reg.host + "/missing:1", nil, errdefs.ErrNotFound},
		{reg.host + "/down:1", status(http.StatusServiceUnavailable), errdefs.ErrUnavailable},
		{reg.host + "/closed:1", status(http.StatusUnauthorized), errdefs.ErrUnauthenticated},
		{"localhost:1/nobody:1", nil, errdefs.ErrUnavailable},
		{"Not A Name", nil, errdefs.ErrInvalidArgument},
	} {
		reg.breakWith(c.broken)
		_, err := s.Pull(context.Background(), c.ref, PullOptions{})
		if got := fault.Class(err); got != c.class {
			t.Errorf("%s: class %v of %v, want %v", c.ref, got, err, c.class)
		}
	}
	err := registryError(syscall.ECONNRESET, "r.example")
	if !errdefs.IsUnavailable(err) {
		t.Errorf("a lost connection has the class %v", fault.Class(err))
	}
}
