package unionmount

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestBirthSurvivesCopyUp wants the time of birth to stay what it was.
func TestBirthSurvivesCopyUp(t *testing.T) {
	for name, as := range map[string]Layer{"caller": {Ownership: CallerOwned}, "host": rootIsMe(),
		"referring": referringLayer()} {
		t.Run(name, func(t *testing.T) {
			f := newHostUnion(t, as, tree{"d/f": file(bigData)})
			born := func(path string) (at unix.Timespec) {
				must(t, f.at(path, func(n *Node) (err error) { at, err = f.u.Birth(n); return err }))
				return at
			}
			before := map[string]unix.Timespec{"": born(""), "d": born("d"), "d/f": born("d/f")}
			if before["d/f"] == (unix.Timespec{}) {
				t.Skip("the filesystem has no times of birth")
			}
			must(t, f.chmod("d/f", 0o600))
			f.remounted(func() {
				for path, want := range before {
					if got := born(path); got != want {
						t.Errorf("%q was born at %v, now %v", path, want, got)
					}
				}
			})
			must(t, f.write("d/f", "x", 0))
			if got := born("d/f"); got != before["d/f"] {
				t.Errorf("born at %v, after the first write %v", before["d/f"], got)
			}
		})
	}
}
