package listing

import (
	"math"
	"testing"
)

// TestCookies wants every position to have a cookie that leads back to it, of 31 bits where 32-bit programs are likely
// to meet it.
func TestCookies(t *testing.T) {
	for _, p := range []Position{middle, middle + 5, middle - 5, middle - 1<<30 + 3, middle - 1<<30 + 2, middle - 1<<30,
		middle - 1<<31, middle + 1<<30 - 1, middle + 1<<30, middle + 1<<40, middle - 1<<40} {
		if got := PositionOf(p.Cookie()); got != p || p.Cookie() <= CookieDotDot {
			t.Errorf("%d leads by %d to %d", p, p.Cookie(), got)
		}
	}
	if first, last := middle-1<<29, middle+1<<29; first.Cookie() >= 1<<31 || last.Cookie() >= 1<<31 {
		t.Errorf("cookies %d and %d", first.Cookie(), last.Cookie())
	}
	for _, cookie := range []uint64{0, CookieDot, CookieDotDot} {
		if PositionOf(cookie) != 0 {
			t.Errorf("%d leads to %d", cookie, PositionOf(cookie))
		}
	}
	if PositionOf(math.MaxUint64) < middle {
		t.Error("a cookie that was never given leads to the beginning")
	}
}
