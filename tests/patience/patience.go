// Package patience bounds what tests wait for. A test names the time that must be enough on an idle machine; on a busy
// one the bound grows with the load, because a process that gets a tenth of a processor takes ten times as long.
//
// The load is read again whenever a bound is reached: it may have risen since the wait began. A test that hangs on an
// idle machine fails as early as without this package.
package patience

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// Usual is enough on an idle machine for anything that a test waits for.
const Usual = time.Minute

// most bounds the factor: a test that hangs must fail some time, even on a machine that is never idle.
const most = 20

// factor is how many times as long things take as on an idle machine.
func factor() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 1 // the bounds are then those of an idle machine
	}
	return factorOf(string(text), runtime.NumCPU())
}

// factorOf is the factor for the content of /proc/loadavg: the number of processes for each processor.
func factorOf(loadavg string, processors int) float64 {
	var load float64
	if _, err := fmt.Sscan(loadavg, &load); err != nil {
		return 1
	}
	return min(max(load/float64(processors), 1), most)
}

// Of returns a bound for something that takes at most base on an idle machine. It is for bounds that cannot move once
// they are set, such as the deadline of a connection.
func Of(base time.Duration) time.Duration {
	return time.Duration(float64(base) * factor())
}

// Wait is a wait that has begun.
type Wait struct {
	base  time.Duration
	began time.Time
}

// Begin begins a wait for something that takes at most base on an idle machine.
func Begin(base time.Duration) Wait { return Wait{base, time.Now()} }

// Left returns what is left of the bound; it is not positive when the wait has been too long.
func (w Wait) Left() time.Duration {
	waited := time.Since(w.began)
	if waited < w.base {
		return w.base - waited
	}
	return Of(w.base) - waited
}

// Closed waits until a channel is closed, and tells whether that happened within the bound.
func (w Wait) Closed(done <-chan struct{}) bool {
	for !w.Over() {
		select {
		case <-done:
			return true
		case <-time.After(w.Left()):
		}
	}
	return false
}

// Over tells whether the wait has been too long.
func (w Wait) Over() bool { return w.Left() <= 0 }

// String says how long the wait has been, for the message of a test that fails.
func (w Wait) String() string {
	return fmt.Sprintf("%v, at %.1f processes for each processor", time.Since(w.began).Round(time.Second), factor())
}

// Eventually waits until condition holds, and fails the test when it does not come to hold.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for w, pause := Begin(Usual), time.Millisecond; !condition(); time.Sleep(pause) {
		if w.Over() {
			t.Fatalf("%s: not within %v", what, w)
		}
		pause = min(2*pause, 20*time.Millisecond) // so that polling adds nothing to the load of a long wait
	}
}

// Closed waits until a channel is closed, and fails the test when it is not.
func Closed(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	if w := Begin(Usual); !w.Closed(done) {
		t.Fatalf("%s: not within %v", what, w)
	}
}

// Context returns a context that is cancelled, with the cause context.DeadlineExceeded, when the bound of base is over.
func Context(base time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		if !Begin(base).Closed(ctx.Done()) {
			cancel(context.DeadlineExceeded)
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}
