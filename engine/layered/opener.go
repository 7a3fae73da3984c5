package layered

import (
	"context"
	"io"
	"sync"
)

// opener opens something once for many callers. What could not be opened is tried again by the next caller.
type opener[T io.Closer] struct {
	mu      sync.Mutex
	current *attempt[T] // that is under way, or has succeeded
}

// attempt is one attempt to open something.
type attempt[T io.Closer] struct {
	done  chan struct{} // closed when the rest holds
	value T
	err   error
}

// get returns what open opens. A caller whose ctx ends waits no longer; the attempt goes on for the others.
func (o *opener[T]) get(ctx context.Context, open func() (T, error)) (value T, err error) {
	if ctx.Err() != nil {
		return value, context.Cause(ctx)
	}
	a := o.join(open)
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
}

// join returns the current attempt, which it starts if there is none.
func (o *opener[T]) join(open func() (T, error)) *attempt[T] {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current != nil {
		return o.current
	}
	a := &attempt[T]{done: make(chan struct{})}
	o.current = a
	go func() {
		a.value, a.err = open()
		if a.err != nil {
			o.forget(a)
		}
		close(a.done)
	}()
	return a
}

// forget has the next caller try again.
func (o *opener[T]) forget(a *attempt[T]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current == a {
		o.current = nil
	}
}

// close closes what was opened, once an attempt that is under way has ended.
func (o *opener[T]) close() error {
	o.mu.Lock()
	a := o.current
	o.current = nil
	o.mu.Unlock()
	if a == nil {
		return nil
	}
	if <-a.done; a.err != nil {
		return nil
	}
	return a.value.Close()
}
