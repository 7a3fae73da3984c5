package patience

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestFactor(t *testing.T) {
	for loadavg, want := range map[string]float64{
		"0.00 0.00 0.00 1/100 1":   1,
		"1.90 0.00 0.00 1/100 1":   1,
		"15.00 3.00 1.00 9/100 1":  7.5,
		"900.00 3.00 1.00 9/100 1": most,
		"":                         1,
		"nothing":                  1,
	} {
		if got := factorOf(loadavg, 2); got != want {
			t.Errorf("%q on two processors: %v, want %v", loadavg, got, want)
		}
	}
}

func TestWait(t *testing.T) {
	if w := Begin(time.Hour); w.Over() || w.Left() > time.Hour {
		t.Errorf("a wait of an hour that has just begun: %v left", w.Left())
	}
	if w := (Wait{time.Minute, time.Now().Add(-time.Minute*most - time.Second)}); !w.Over() {
		t.Errorf("a wait that was too long on any machine: %v left", w.Left())
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := Context(time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		t.Errorf("the cause of the end is %v", cause)
	}
	ctx, cancel = Context(time.Hour)
	cancel()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		t.Errorf("the cause of the end is %v", cause)
	}
}

func TestClosed(t *testing.T) {
	done := make(chan struct{})
	time.AfterFunc(time.Millisecond, func() { close(done) })
	Closed(t, "a channel that is closed soon", done)
	held := 0
	Eventually(t, "a condition that holds soon", func() bool { held++; return held > 3 })
}
