package registry

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
)

// unreachableError says that a registry cannot be reached. The nested errors of the library tell the whole way to that.
type unreachableError struct {
	text string
	err  error
}

func (e *unreachableError) Error() string   { return e.text }
func (e *unreachableError) Unwrap() []error { return []error{e.err, errdefs.ErrUnavailable} }

// unreachable says in one sentence that a registry, or a server on the way to it, cannot be reached, if the error means
// that. domain is the registry's in the image's name. Errors of several mirrors stay as they are.
func unreachable(err error, domain string) error {
	if err == nil || strings.Contains(err.Error(), "Mirrors also failed") {
		return err
	}
	var lookup *net.DNSError
	var dial *net.OpError
	why := ""
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		why = fmt.Sprintf("no such host: %s is not known to the name server; is the name right, and the network up?",
			lookup.Name)
	case errors.As(err, &lookup):
		why = fmt.Sprintf("no name server answers what %s is; is the network up?", lookup.Name)
	case !errors.As(err, &dial) || dial.Op != "dial" && dial.Op != "proxyconnect":
		return err
	case errors.Is(dial, syscall.ECONNREFUSED):
		why = fmt.Sprintf("connection refused by %s", dial.Addr)
	case dial.Timeout():
		why = fmt.Sprintf("%s does not answer; is the network up?", dial.Addr)
	default:
		var errno syscall.Errno
		if !errors.As(dial, &errno) || dial.Addr == nil {
			return err
		}
		why = fmt.Sprintf("%v (%s); is the network up?", errno, dial.Addr)
	}
	return &unreachableError{fmt.Sprintf("the registry %s cannot be reached: %s", domain, why), err}
}
