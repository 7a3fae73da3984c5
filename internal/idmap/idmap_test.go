package idmap

import (
	"slices"
	"testing"
)

var example = Map{{Container: 0, Host: 1000, Size: 1}, {Container: 1, Host: 100000, Size: 65536}}

func TestText(t *testing.T) {
	const text = "0 1000 1\n1 100000 65536\n"
	if got := example.String(); got != text {
		t.Errorf("text %q", got)
	}
	for _, given := range []string{text, "         0       1000          1\n         1     100000      65536\n"} {
		if got, err := Parse(given); err != nil || !slices.Equal(got, example) {
			t.Errorf("%q is read as %v, %v", given, got, err)
		}
	}
	for _, malformed := range []string{"0 1000\n", "a b c\n", "0 0 4294967296\n", "\n"} {
		if got, err := Parse(malformed); err == nil {
			t.Errorf("%q is read as %v", malformed, got)
		}
	}
	if got, err := Parse(""); err != nil || len(got) != 0 {
		t.Errorf("an empty map, as a new namespace has it, is read as %v, %v", got, err)
	}
}

func TestTranslation(t *testing.T) {
	for inside, outside := range map[uint32]uint32{0: 1000, 1: 100000, 65536: 165535} {
		host, known := example.ToHost(inside)
		back, alsoKnown := example.ToContainer(outside)
		if host != outside || back != inside || !known || !alsoKnown {
			t.Errorf("%d is %d outside (%v), and %d is %d inside (%v)", inside, host, known, outside, back, alsoKnown)
		}
	}
	if host, known := example.ToHost(65537); known {
		t.Errorf("an id that is not mapped is %d outside", host)
	}
	if container, known := example.ToContainer(1001); known {
		t.Errorf("an id that is not mapped is %d inside", container)
	}
	// the sum of start and size does not fit 32 bits everywhere
	top := Map{{Container: All - 1, Host: All - 1, Size: 1}}
	if host, known := top.ToHost(All - 1); !known || host != All-1 {
		t.Errorf("the highest id is %d outside, %v", host, known)
	}
}

func TestRanges(t *testing.T) {
	inside := example.Inside()
	if !slices.Equal(inside, Ranges{{0, 1}, {1, 65536}}) || inside.Total() != 65537 {
		t.Errorf("inside are %v", inside)
	}
	if !inside.Contains(65536) || inside.Contains(65537) {
		t.Error("the ends of a range are off by one")
	}
	if whole := (Range{1, All}); whole.End() != 1<<32 {
		t.Errorf("a range ends at %d", whole.End())
	}
}

func TestEverything(t *testing.T) {
	if !Everything().IsEverything() || example.IsEverything() || (Map{}).IsEverything() {
		t.Error("the host's map is not told from others")
	}
	if !slices.Equal(Identity(Ranges{{0, 5}, {7, 1}}), Map{{0, 0, 5}, {7, 7, 1}}) {
		t.Error("a map of ids to themselves changes them")
	}
	if own, err := OwnUIDs(); err != nil || len(own) == 0 {
		t.Errorf("the own map is %v, %v", own, err)
	}
	if own, err := OwnGIDs(); err != nil || len(own) == 0 {
		t.Errorf("the own map of groups is %v, %v", own, err)
	}
}
