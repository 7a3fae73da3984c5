package spelling

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"debian", "debian", 0}, {"debain", "debian", 2}, {"upprdir", "upperdir", 1},
		{"abc", "xyz", 3}} {
		if got, back := Distance(c.a, c.b), Distance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%q, %q: %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
	if !Close("debain", "debian") || Close("bb", "cc") || Close("alpine", "debian") {
		t.Error("other names are close than should be")
	}
}
