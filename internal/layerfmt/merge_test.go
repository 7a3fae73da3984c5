package layerfmt

import "testing"

func TestMerge(t *testing.T) {
	type answer struct{ shows, more bool }
	for _, c := range []struct {
		what         string
		seen         Seen
		first, below answer // without and with a directory above
	}{
		{"nothing", Seen{}, answer{false, true}, answer{false, true}},
		{"whiteout file", Seen{Covered: true}, answer{false, false}, answer{false, false}},
		{"whiteout device", Seen{Kind: File, Whiteout: true}, answer{false, false}, answer{false, false}},
		{"whiteout device and file", Seen{Kind: File, Whiteout: true, Covered: true}, answer{false, false},
			answer{false, false}},
		{"file", Seen{Kind: File}, answer{true, false}, answer{false, false}},
		{"file with a reference", Seen{Kind: File, Refers: true}, answer{true, false}, answer{false, false}},
		{"file beside a whiteout file", Seen{Kind: File, Covered: true}, answer{true, false}, answer{false, false}},
		{"directory", Seen{Kind: Directory}, answer{true, true}, answer{true, true}},
		{"opaque directory", Seen{Kind: Directory, Opaque: true}, answer{true, false}, answer{true, false}},
		{"renamed directory", Seen{Kind: Directory, Refers: true}, answer{true, false}, answer{true, false}},
		{"directory beside a whiteout file", Seen{Kind: Directory, Covered: true}, answer{true, false},
			answer{true, false}},
	} {
		for found, want := range map[bool]answer{false: c.first, true: c.below} {
			shows, more := Merge(found, c.seen)
			if got := (answer{shows, more}); got != want {
				t.Errorf("%s, found above %v: %+v, want %+v", c.what, found, got, want)
			}
		}
	}
}

// TestMergeInTwoSteps checks what lets callers put off looking for marks: without them, the same shows, and no layer is
// left out that counts.
func TestMergeInTwoSteps(t *testing.T) {
	for bits := range 1 << 6 {
		is := func(bit int) bool { return bits&(1<<bit) != 0 }
		for kind := Absent; kind <= Directory; kind++ {
			all := Seen{Kind: kind, Whiteout: is(0), Opaque: is(1), Refers: is(2), Covered: is(3)}
			cheap := all
			cheap.Opaque, cheap.Covered = all.Opaque && is(4), false
			shows, more := Merge(is(5), all)
			early, maybe := Merge(is(5), cheap)
			if early != shows || more && !maybe {
				t.Errorf("%+v: shows %v, more %v; without looking for marks %v, %v", all, shows, more, early, maybe)
			}
		}
	}
}
