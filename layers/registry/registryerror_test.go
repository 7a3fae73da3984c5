package registry_test

import (
	"context"
	"net/http"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
)

// TestRegistryErrors checks what class the errors of a registry have, and of one that cannot be reached.
func TestRegistryErrors(t *testing.T) {
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	for _, c := range []struct {
		ref    string
		broken storetest.Breakage
		class  error
	}{
		{reg.Host + "/missing:1", nil, errdefs.ErrNotFound},
		{reg.Host + "/down:1", storetest.Status(http.StatusServiceUnavailable), errdefs.ErrUnavailable},
		{reg.Host + "/closed:1", storetest.Status(http.StatusUnauthorized), errdefs.ErrUnauthenticated},
		{"localhost:1/nobody:1", nil, errdefs.ErrUnavailable},
		{"Not A Name", nil, errdefs.ErrInvalidArgument},
	} {
		reg.BreakWith(c.broken)
		_, err := registry.Pull(context.Background(), s, c.ref, registry.PullOptions{})
		if got := fault.Class(err); got != c.class {
			t.Errorf("%s: class %v of %v, want %v", c.ref, got, err, c.class)
		}
	}
	err := registry.RegistryError(syscall.ECONNRESET, "r.example")
	if !errdefs.IsUnavailable(err) {
		t.Errorf("a lost connection has the class %v", fault.Class(err))
	}
}
