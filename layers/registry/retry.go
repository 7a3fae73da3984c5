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

// Retry says how often to try again what failed for a reason that may pass. The zero value is not at all.
type Retry struct {
	Times int
	// Delay goes before the first further attempt; it doubles before each one after that.
	Delay time.Duration
}

// DefaultRetry is what users get who ask for nothing else.
func DefaultRetry() Retry { return Retry{Times: 3, Delay: time.Second} }

const (
	maxRetryDelay = 30 * time.Second
	// enoughProgress in bytes makes an attempt that failed count for nothing.
	enoughProgress = 1 << 20
)

// do calls attempt until it succeeds, fails for good, or has been given enough chances. Downloads that were broken off
// but got on have as many left as before.
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
		case <-time.After(delay + rand.N(delay/10+1)): // not all at once
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

// isTransient tells whether a registry or the way to it may do better at the next attempt. One that says it is asked
// too often is not asked again: the library has waited and asked several times before it passes that on.
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
