package engine

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
)

func testDirs(t *testing.T) Dirs {
	t.Helper()
	dirs := Dirs{Data: t.TempDir()}
	dirs.Run = dirs.Data + "/run"
	if err := dirs.make(); err != nil {
		t.Fatal(err)
	}
	return dirs
}

// makeDirs makes the directories of containers.
func makeDirs(t *testing.T, dirs Dirs, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := os.Mkdir(dirs.Container(id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReserveNameOnce(t *testing.T) {
	dirs := testDirs(t)
	for i := range 6 {
		makeDirs(t, dirs, strings.Repeat(string(rune('a'+i)), 64))
	}
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			switch err := dirs.reserveName(t.Context(), "web", strings.Repeat(string(rune('a'+i%6)), 64)); {
			case err == nil:
				won.Add(1)
			case !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "already in use by container"):
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 50 got the name", won.Load())
	}
}

// A name whose container is gone is taken over, by one.
func TestReserveNameLeftBehind(t *testing.T) {
	dirs := testDirs(t)
	if err := dirs.reserveName(t.Context(), "web", "gone"); err != nil {
		t.Fatal(err)
	}
	makeDirs(t, dirs, "one", "two")
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if dirs.reserveName(t.Context(), "web", []string{"one", "two"}[i%2]) == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 20 got the name", won.Load())
	}
}

func TestReleaseNameOfAnother(t *testing.T) {
	dirs := testDirs(t)
	makeDirs(t, dirs, "one", "two")
	if err := dirs.reserveName(t.Context(), "web", "one"); err != nil {
		t.Fatal(err)
	}
	if err := dirs.releaseName("web", "two"); err != nil {
		t.Fatal(err)
	}
	if err := dirs.reserveName(t.Context(), "web", "two"); !errdefs.IsConflict(err) {
		t.Errorf("another's name was released: %v", err)
	}
	if err := dirs.releaseName("web", "one"); err != nil {
		t.Fatal(err)
	}
	if err := dirs.reserveName(t.Context(), "web", "two"); err != nil {
		t.Errorf("a released name is not free: %v", err)
	}
}

func TestReserveNameRefuses(t *testing.T) {
	dirs := testDirs(t)
	for _, bad := range []string{"", "a", "-a", ".a", "a/b", "../a", "a b", "ä1"} {
		if err := dirs.reserveName(t.Context(), bad, "id"); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestValidHostname(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "box": true, "a.b-c_d": true, "1": true, "-a": false,
		"a-": false, "a b": false,
		"x\n1.1.1.1 evil": false, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false} {
		if got := validHostname(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestRandomName(t *testing.T) {
	index := func(words []string, word string) int {
		for i, w := range words {
			if w == word {
				return i
			}
		}
		t.Fatalf("%s is not in the list", word)
		return 0
	}
	draws := []int{index(adjectives, "boring"), index(surnames, "wozniak"), index(adjectives, "calm"),
		index(surnames, "wozniak"), 7}
	draw := func(int) int { n := draws[0]; draws = draws[1:]; return n }
	if got := randomName(1, draw); got != "calm_wozniak7" {
		t.Errorf("got %s", got)
	}
}

func TestReserveRandomNameGivesUp(t *testing.T) {
	dirs := testDirs(t)
	always := func(int) int { return 0 }
	var names []string
	for _, id := range []string{strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)} {
		makeDirs(t, dirs, id)
		name, err := dirs.reserveRandomName(t.Context(), id, always)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	plain := adjectives[0] + "_" + surnames[0]
	if names[0] != plain || names[1] != plain+"0" || names[2] != strings.Repeat("c", 12) {
		t.Errorf("got %q", names)
	}
}

func TestNewIDRedrawsNumbers(t *testing.T) {
	digits := bytes.Repeat([]byte{0x12}, 32)
	letters := bytes.Repeat([]byte{0xab}, 32)
	id, err := newID(bytes.NewReader(append(digits, letters...)))
	if err != nil || id != strings.Repeat("ab", 32) {
		t.Errorf("got %s, %v", id, err)
	}
	if _, err := newID(bytes.NewReader(digits)); err == nil {
		t.Error("no error when randomness ends")
	}
}
