package engine

import (
	"testing"
	"time"
)

// TestPace has slirp4netns started ever later while it does not start, or ends soon, and at once after it ran for long.
func TestPace(t *testing.T) {
	var p pace
	for i, step := range []struct{ lived, want time.Duration }{
		{time.Second, 0}, {0, firstPause}, {0, 2 * firstPause}, {time.Second, 4 * firstPause}, {time.Hour, 0},
		{0, firstPause},
	} {
		if got := p.next(step.lived); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	for range 20 {
		p.next(time.Second)
	}
	if got := p.next(time.Second); got != lastPause {
		t.Errorf("the longest pause is %v, want %v", got, lastPause)
	}
}
