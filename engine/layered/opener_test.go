package layered

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

type closer struct{ closed atomic.Int32 }

func (c *closer) Close() error { c.closed.Add(1); return nil }

// What could not be opened is tried again; what was opened is opened once.
func TestOpenerTriesAgain(t *testing.T) {
	var o opener[*closer]
	var calls atomic.Int32
	want := &closer{}
	open := func() (*closer, error) {
		if calls.Add(1) == 1 {
			return nil, io.ErrUnexpectedEOF
		}
		return want, nil
	}
	if _, err := o.get(t.Context(), open); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("the first attempt: %v", err)
	}
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if got, err := o.get(t.Context(), open); got != want || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	all.Wait()
	if calls.Load() != 2 {
		t.Errorf("opened %d times", calls.Load())
	}
	if err := o.close(); err != nil || want.closed.Load() != 1 {
		t.Errorf("close: %v, closed %d times", err, want.closed.Load())
	}
	if err := o.close(); err != nil || want.closed.Load() != 1 {
		t.Errorf("close again: %v, closed %d times", err, want.closed.Load())
	}
}

// A caller who gives up does not end the attempt that others wait for.
func TestOpenerCancelled(t *testing.T) {
	var o opener[*closer]
	begun, finish := make(chan struct{}), make(chan struct{})
	open := func() (*closer, error) {
		close(begun)
		<-finish
		return &closer{}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := o.get(ctx, open); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	close(finish)
	if got, err := o.get(t.Context(), open); got == nil || err != nil {
		t.Errorf("the others get %v, %v", got, err)
	}
}
