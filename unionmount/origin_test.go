package unionmount

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOrigin(t *testing.T) {
	for value, want := range map[string]origin{
		"7":                    {ino: 7},
		"7:1.000000002":        {7, unix.Timespec{Sec: 1, Nsec: 2}},
		"1:-1.500000000":       {1, unix.Timespec{Sec: -1, Nsec: 5e8}},
		"18446744073709551615": {ino: 1<<64 - 1},
	} {
		got, err := parseOrigin(value)
		if err != nil || got != want || got.encode() != value {
			t.Errorf("%s: %+v, %v, %s", value, got, err, got.encode())
		}
	}
	for _, value := range []string{"", "x", "-1", "1:", "1:1", "1:x.0", "1:1.-1", "1:1.99999999999"} {
		if o, err := parseOrigin(value); err == nil {
			t.Errorf("%q: %+v", value, o)
		}
	}
}

// TestBirthSurvivesCopyUp wants the time of birth to stay what it was.
func TestBirthSurvivesCopyUp(t *testing.T) {
	for name, as := range map[string]Layer{"caller": {Ownership: CallerOwned}, "host": rootIsMe(), "referring": referringLayer()} {
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
