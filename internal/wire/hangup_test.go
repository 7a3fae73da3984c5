package wire

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
)

func TestWhileConnected(t *testing.T) {
	a, b := pair(t)
	failed := errors.New("failed")
	if err := b.WhileConnected(t.Context(), func(context.Context) error { return failed }); err != failed {
		t.Errorf("returns %v", err)
	}
	// A message is left to be received, and is no end.
	err := b.WhileConnected(t.Context(), func(ctx context.Context) error {
		if err := a.Send("early", 7); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
			return nil
		}
	})
	if err != nil {
		t.Errorf("a message ends it: %v", err)
	}
	var n int
	if _, err := b.Expect("early", &n, 0); err != nil || n != 7 {
		t.Errorf("received %d, %v", n, err)
	}
	err = b.WhileConnected(t.Context(), func(ctx context.Context) error {
		a.Close()
		patience.Closed(t, "the end of the other side is noticed", ctx.Done())
		return context.Cause(ctx)
	})
	if !errors.Is(err, ErrHangup) {
		t.Errorf("after the end of the other side: %v", err)
	}
}
