package layerfmt

import (
	"slices"
	"testing"
)

func TestBelow(t *testing.T) {
	for text, want := range map[string]Below{
		"1:a":          {[]int{1}, "a"},
		"9-7,5,3-2:/x": {},
		"9-7,5,3-2:a/b:c": {
			[]int{9, 8, 7, 5, 3, 2}, "a/b:c"},
		"300-299:..a": {[]int{300, 299}, "..a"},
	} {
		got, err := DecodeBelow(text)
		if want.Path == "" {
			if err == nil {
				t.Errorf("%q: got %+v, want an error", text, got)
			}
			continue
		}
		if err != nil || got.Path != want.Path || !slices.Equal(got.Layers, want.Layers) {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
		if again := got.Encode(); again != text {
			t.Errorf("%+v: encoded %q, want %q", got, again, text)
		}
	}
}

func TestBelowRefuses(t *testing.T) {
	for _, text := range []string{"", "1", "1:", ":a", "0:a", "1-2:a", "1,1:a", "1,2:a", "2-0:a", "x:a", "-1:a",
		"99999999:a",
		"1:/a", "1:a/", "1:a//b", "1:..", "1:a/../b", "1:./a", "1:a\x00b", "1,:a"} {
		if got, err := DecodeBelow(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

func FuzzDecodeBelow(f *testing.F) {
	f.Add("9-7,5:usr/lib")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := DecodeBelow(text)
		if err != nil {
			return
		}
		again, err := DecodeBelow(b.Encode())
		if err != nil || again.Path != b.Path || !slices.Equal(again.Layers, b.Layers) {
			t.Fatalf("%q is %+v, whose encoding %q is %+v, %v", text, b, b.Encode(), again, err)
		}
	})
}
