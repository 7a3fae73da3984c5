package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/docker/distribution/registry/api/errcode"
	"go.podman.io/image/v5/docker"

	"github.com/rcrun/rcrun/layers/blobcache"
)

// Retry says how often to try again after an error that may pass. The zero value means not at all.
type Retry struct {
	Times int
	// Delay is the time before the first further attempt. It doubles before each attempt after that.
	Delay time.Duration
}

// DefaultRetry is for users who ask for nothing else.
func DefaultRetry() Retry { return Retry{Times: 3, Delay: time.Second} }

const (
	maxRetryDelay = 30 * time.Second
	// enoughProgress is how many bytes a failed attempt must have fetched to be not counted.
	enoughProgress = 1 << 20
)

// do calls attempt until it succeeds, fails with an error that cannot pass, or has been called often enough. An attempt
// that has fetched enoughProgress starts the count again.
func (r Retry) do(ctx context.Context, attempt func() error) error {
	best := int64(0)
	for left, delay := r.Times, r.Delay; ; left-- {
		err := attempt()
		if err == nil || !isTransient(err) || ctx.Err() != nil {
			return err
		}
		var interrupted *blobcache.InterruptedError
		if errors.As(err, &interrupted) && interrupted.Have >= best+enoughProgress {
			best, left, delay = interrupted.Have, r.Times, r.Delay
		}
		if left <= 0 {
			return r.gaveUp(err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay + rand.N(delay/10+1)): // so that not all clients come at once
		}
		delay = min(2*delay, maxRetryDelay)
	}
}

func (r Retry) gaveUp(err error) error {
	if r.Times == 0 {
		return err
	}
	return fmt.Errorf("%w (after %d attempts)", err, r.Times+1)
}

// isTransient tells whether a further attempt may succeed. A registry that answers "too many requests" is not asked
// again, because the library has waited and asked several times before it passes that answer on.
func isTransient(err error) bool {
	var interrupted *blobcache.InterruptedError
	var status docker.UnexpectedHTTPStatusError
	var code errcode.ErrorCoder
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &interrupted), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true
	case errors.As(err, &status):
		return status.StatusCode >= http.StatusInternalServerError
	case errors.As(err, &code):
		return code.ErrorCode() == errcode.ErrorCodeUnavailable
	}
	return errors.As(err, &network) && network.Timeout()
}
