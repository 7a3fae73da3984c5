package fusefs

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	var p patience
	look := func(at int64) time.Duration { return time.Duration(p.ends(at) - at) }
	if got := look(1); got != shortSpin {
		t.Errorf("at first looks for %v", got)
	}
	p.came(longSpin/2, false)
	if got := look(1); got != longSpin {
		t.Errorf("after a request that came soon looks for %v", got)
	}
	for want := longSpin / 2; want > shortSpin; want /= 2 {
		p.came(time.Second, false)
		if got := look(1); got != want {
			t.Errorf("after one more that came late looks for %v, want %v", got, want)
		}
	}
	p.came(longSpin/2, true)

	// A caller's turn is no reason to stop looking, others' are one, each time for longer.
	p.madeWay(0, int64(idleTurn)+1, true)
	if got := look(1); got != longSpin {
		t.Errorf("after a caller's turn looks for %v", got)
	}
	now, want := int64(0), leastRelief
	for range 10 {
		p.madeWay(now, now+int64(busyTurn)+1, true)
		now += int64(busyTurn) + 1
		if look(now+int64(want)-1) != 0 || look(now+int64(want)+1) == 0 {
			t.Errorf("relief is %v, want %v", p.relief, want)
		}
		now += int64(want)
		want = min(2*want, mostRelief)
	}
	p.came(longSpin/2, true)
	p.madeWay(now, now+int64(idleTurn)+1, false)
	if p.relief != leastRelief {
		t.Errorf("relief after a request was found is %v", p.relief)
	}
}
