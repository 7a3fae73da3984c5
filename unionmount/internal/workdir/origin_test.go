package workdir

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOrigin(t *testing.T) {
	for value, want := range map[string]Origin{
		"7":                    {Ino: 7},
		"7:1.000000002":        {7, unix.Timespec{Sec: 1, Nsec: 2}},
		"1:-1.500000000":       {1, unix.Timespec{Sec: -1, Nsec: 5e8}},
		"18446744073709551615": {Ino: 1<<64 - 1},
	} {
		got, err := ParseOrigin(value)
		if err != nil || got != want || got.Encode() != value {
			t.Errorf("%s: %+v, %v, %s", value, got, err, got.Encode())
		}
	}
	for _, value := range []string{"", "x", "-1", "1:", "1:1", "1:x.0", "1:1.-1", "1:1.99999999999"} {
		if o, err := ParseOrigin(value); err == nil {
			t.Errorf("%q: %+v", value, o)
		}
	}
}
