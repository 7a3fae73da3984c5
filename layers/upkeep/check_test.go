package upkeep_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// victim is the image that TestCheckAndRepair damages, victimTop a file of its uppermost layer, and victimConfig its
// configuration.
func victim(s *layers.Store) *layers.Image {
	img, _ := s.Image(context.Background(), "victim:1")
	return img
}

func victimTop(s *layers.Store, elem ...string) string {
	return filepath.Join(append([]string{s.Core().Layout.Layer(victim(s).TopLayer)}, elem...)...)
}

func victimConfig(s *layers.Store) string {
	files, _ := filepath.Glob(filepath.Join(s.Core().RecordDir(core.ImageRecords), victim(s).ID, "=*"))
	return files[len(files)-1]
}

// damages are the ways in which TestCheckAndRepair breaks a store.
var damages = map[string]damage{

	"tree": {func(s *layers.Store) error { return os.RemoveAll(victimTop(s)) }, false,
		[]upkeep.ProblemKind{upkeep.BrokenImage, upkeep.BrokenLayer}, "files are missing"},
	"parent": {func(s *layers.Store) error { return os.Remove(victimTop(s, "parent")) }, false,
		[]upkeep.ProblemKind{upkeep.BrokenImage, upkeep.BrokenLayer}, "below it"},
	"headers": {func(s *layers.Store) error { return os.Remove(s.Core().TarSplit(victim(s).TopLayer)) }, false,
		[]upkeep.ProblemKind{upkeep.BrokenImage, upkeep.BrokenLayer}, "headers"},
	"content": {func(s *layers.Store) error { return storetest.Flip(victimTop(s, "diff/etc/motd"), 0) }, true,
		[]upkeep.ProblemKind{upkeep.BrokenImage, upkeep.BrokenLayer}, "not what was unpacked"},
	"shorter": {func(s *layers.Store) error { return os.Truncate(victimTop(s, "diff/etc/motd"), 2) }, true,
		[]upkeep.ProblemKind{upkeep.BrokenImage, upkeep.BrokenLayer}, "/etc/motd has changed"},
	"configs": {func(s *layers.Store) error { return os.RemoveAll(filepath.Dir(victimConfig(s))) }, false,
		[]upkeep.ProblemKind{upkeep.BrokenImage}, "configuration cannot be read"},
	"a config": {func(s *layers.Store) error { return os.WriteFile(victimConfig(s), []byte("{}"), 0o600) }, false,
		[]upkeep.ProblemKind{upkeep.BrokenImage}, "bytes instead of"},
	"unlisted": {func(s *layers.Store) error {
		return os.MkdirAll(s.Core().Layout.Diff(strings.Repeat("e", 64)),
			0o700)
	}, false, []upkeep.ProblemKind{upkeep.Leftover}, "no layer eee"},
	"image files": {func(s *layers.Store) error {
		return os.Mkdir(filepath.Join(s.Core().RecordDir(core.ImageRecords), strings.Repeat("e", 64)), 0o700)
	}, false, []upkeep.ProblemKind{upkeep.Leftover}, "no image eee"},
	"half a write": {func(s *layers.Store) error {
		return os.WriteFile(filepath.Join(s.Core().RecordDir(core.ImageRecords), ".tmp-images.json1"), nil, 0o600)
	}, false, []upkeep.ProblemKind{upkeep.Leftover}, "being written"},
	"staging": {func(s *layers.Store) error {
		return os.MkdirAll(filepath.Join(s.Core().Layout.Staging(), "X", "diff"), 0o700)
	}, false, []upkeep.ProblemKind{upkeep.Leftover}, "unfinished"},
}

// damage breaks a store in one way.
type damage struct {
	do   func(s *layers.Store) error
	deep bool
	want []upkeep.ProblemKind
	text string
}

// TestCheckAndRepair breaks a store of two images in one way after the other. The check must name what is broken, the
// image that is not must stay usable, and after the repair all must be well.
func TestCheckAndRepair(t *testing.T) {
	for name, c := range damages {
		t.Run(name, func(t *testing.T) { checkAndRepair(t, c) })
	}
}

func checkAndRepair(t *testing.T, c damage) {
	t.Helper()
	s := storetest.OpenStore(t)
	storetest.MustImport(t, s, "good:1", "x")
	base, patch := storetest.RootfsTar(t, "x"), storetest.PatchTar(t)
	storetest.MustLoad(t, s, storetest.NewSample(t, "amd64", base, patch), "victim:1")
	storetest.IsClean(t, s)
	if err := c.do(s); err != nil {
		t.Fatal(err)
	}
	problems := storetest.MustCheck(t, s, c.deep)
	var kinds []upkeep.ProblemKind
	var texts strings.Builder
	for _, p := range problems {
		kinds = append(kinds, p.Kind)
		texts.WriteString(p.Text + "\n")
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, c.want) || !strings.Contains(texts.String(), c.text) {
		t.Fatalf("found %+v, want %q with %q", problems, c.want, c.text)
	}
	if _, err := s.Image(context.Background(), "good:1"); err != nil {
		t.Error(err)
	}
	done, err := upkeep.Repair(context.Background(), s, problems)
	if err != nil || len(done) != len(problems) {
		t.Fatal(done, err)
	}
	for _, d := range done {
		if !d.Fixed {
			t.Errorf("not repaired: %+v", d)
		}
		if d.Kind == upkeep.BrokenImage &&
			(d.Remedy != upkeep.PullAgain || !slices.Equal(d.Names, []string{"docker.io/library/victim:1"})) {
			t.Errorf("it is not said how to get the image again: %+v", d)
		}
	}
	storetest.IsClean(t, s)
	want := 2
	if slices.Contains(c.want, upkeep.BrokenImage) {
		want = 1
	}
	if images, err := s.Images(context.Background()); err != nil || len(images) != want {
		t.Errorf("%d images, want %d; %v", len(images), want, err)
	}
}

// TestRepairSparesContainers checks that an image which a container needs stays, however broken.
func TestRepairSparesContainers(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "victim", "x")
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", img); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.Core().Layout.Diff(img.TopLayer)); err != nil {
		t.Fatal(err)
	}
	done, err := upkeep.Repair(context.Background(), s, storetest.MustCheck(t, s, false))
	if err != nil || len(done) != 3 {
		t.Fatal(done, err)
	}
	for _, d := range done {
		removes := d.Remedy == upkeep.RemoveContainer && d.ID == storetest.ContainerID(1)
		if d.Fixed || !removes && !strings.Contains(d.Action, storetest.ContainerID(1)) {
			t.Errorf("%+v", d)
		}
	}
	if err := s.RemoveContainer(context.Background(), storetest.ContainerID(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := upkeep.Repair(context.Background(), s, storetest.MustCheck(t, s, false)); err != nil {
		t.Fatal(err)
	}
	storetest.IsClean(t, s)
}

// TestLostLayerRecord loses the record of a container's layer. What the container wrote must outlive the repair.
func TestLostLayerRecord(t *testing.T) {
	dir := t.TempDir()
	s := storetest.OpenStoreAt(t, dir)
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "",
		storetest.MustImport(t, s, "x", "x")); err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(s.Core().Layout.Diff(storetest.ContainerID(1)), "work")
	storetest.MustWrite(t, work, "of a day")
	path := filepath.Join(s.Core().RecordDir(core.LayerRecords), "layers.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.MustWrite(t, path, strings.Replace(string(text), `"id":"`+storetest.ContainerID(1), `"id":7,"x":"`, 1))
	s = storetest.OpenStoreAt(t, dir)
	if _, err := upkeep.Repair(context.Background(), s, storetest.MustCheck(t, s, true)); err != nil {
		t.Error(err)
	}
	if _, err := s.Core().Tidy(context.Background(), time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(work); err != nil {
		t.Error(err)
	}
}

// TestDamagedRecords damages the library's files. The store must open, what is undamaged must be usable, and a check
// must name the file.
func TestDamagedRecords(t *testing.T) {
	for name, c := range map[string]struct {
		kind, file string
		damage     func(text string) string
		left       int // images
	}{
		"cut off": {core.ImageRecords, "images.json", func(text string) string { return text[:len(text)-10] },
			1},
		"a bad digest": {core.ImageRecords, "images.json",
			func(text string) string { return strings.Replace(text, `"digest":"sha256:`, `"digest":"md5:`, 1) }, 1},
		"another type": {core.ImageRecords, "images.json",
			func(text string) string { return strings.Replace(text, `"id":"`, `"id":["x"],"x":"`, 1) }, 1},
		"no list": {core.ImageRecords, "images.json", func(text string) string { return "{}" }, 0},
		"zeros": {core.ImageRecords, "images.json",
			func(text string) string { return strings.Repeat("\x00", 100) }, 0},
		"layers cut off": {core.LayerRecords, "layers.json", func(text string) string { return text[:len(text)-10] },
			2},
		"a layer's record": {core.LayerRecords, "layers.json",
			func(text string) string { return strings.Replace(text, `"created":"2`, `"created":"x`, 1) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := storetest.OpenStoreAt(t, dir)
			storetest.MustImport(t, s, "one", "1")
			storetest.MustImport(t, s, "two", "2")
			path := filepath.Join(s.Core().RecordDir(c.kind), c.file)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			damaged := c.damage(string(text))
			if damaged == string(text) {
				t.Fatalf("nothing was damaged in %s", text)
			}
			storetest.MustWrite(t, path, damaged)

			s = storetest.OpenStoreAt(t, dir)
			images, err := s.Images(context.Background())
			if len(images) != c.left || (c.kind == core.LayerRecords) == (err == nil) {
				t.Errorf("%d images, want %d; %v", len(images), c.left, err)
			}
			problems := storetest.MustCheck(t, s, true)
			if !slices.ContainsFunc(problems,
				func(p upkeep.Problem) bool { return p.Kind == upkeep.LostRecords && strings.HasPrefix(p.ID, path) }) {
				t.Errorf("%s is not named in %+v", path, problems)
			}
			if _, err := upkeep.Repair(context.Background(), s, problems); err != nil {
				t.Error(err)
			}
			storetest.IsClean(t, s)
			storetest.MustImport(t, s, "three", "3")
			storetest.IsClean(t, s)
		})
	}
}

// TestUnfinishedImage makes the record of an image whose maker was killed before it wrote the image's files.
func TestUnfinishedImage(t *testing.T) {
	dir := t.TempDir()
	s := storetest.OpenStoreAt(t, dir)
	img := storetest.MustImport(t, s, "whole", "x")
	if _, err := s.Core().Lib.CreateImage(strings.Repeat("e", 64), nil, img.TopLayer, "", nil); err != nil {
		t.Fatal(err)
	}
	if images, err := s.Images(context.Background()); err != nil || len(images) != 1 {
		t.Errorf("%d images are listed, %v", len(images), err)
	}
	place, err := s.Core().Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	place.Lock.Close() // as the kernel does when a process ends
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = storetest.OpenStoreAt(t, dir)
	if records, err := s.Core().Lib.Images(); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
	storetest.IsClean(t, s)
}

// TestKeptLayers checks that what a cut-off pull has left stays for a day and is removed then, unless a process is at
// work.
func TestKeptLayers(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "whole", "x")
	parent := img.TopLayer
	for i := range 2 {
		layer, _, err := s.Core().Lib.PutLayer("", parent, nil, "", false, nil,
			bytes.NewReader(storetest.RootfsTar(t, fmt.Sprint(i))))
		if err != nil {
			t.Fatal(err)
		}
		parent = layer.ID
	}
	storetest.IsClean(t, s)
	for name, c := range map[string]struct {
		before time.Time
		want   int
	}{"a day old": {time.Now().Add(-core.KeepTime), 0}, "of any age": {time.Now().Add(time.Second), 2}} {
		working, err := scratch.New(s.Core().TempRoot())
		if err != nil {
			t.Fatal(err)
		}
		if removed, err := s.Core().Tidy(context.Background(), c.before); err != nil || len(removed) != 0 {
			t.Errorf("%s, while somebody works: removed %+v, %v", name, removed, err)
		}
		if err := working.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if removed, err := s.Core().Tidy(context.Background(), time.Now().Add(-core.KeepTime)); err != nil ||
		len(removed) != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if removed, err := s.Core().Tidy(context.Background(), time.Now().Add(time.Second)); err != nil ||
		len(removed) != 2 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if _, err := s.Image(context.Background(), "whole"); err != nil {
		t.Error(err)
	}
}

// TestCheckBesidePulls checks a store again and again while images come and go: nothing may be taken for broken.
func TestCheckBesidePulls(t *testing.T) {
	s := storetest.OpenStore(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			img := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
			storetest.MustLoad(t, s, img, "app:1")
			if _, err := s.RemoveImage(context.Background(), "app:1", layers.RemoveOptions{}); err != nil {
				t.Error(err)
			}
		}
	}()
	checks := 0
	for ; ; checks++ {
		for _, p := range storetest.MustCheck(t, s, true) {
			t.Errorf("%+v", p)
		}
		select {
		case <-done:
			t.Logf("%d checks", checks)
			return
		default:
		}
	}
}

// TestCheckHoldsNoLock reads a layer whose file is a pipe, which blocks the check; the store must be usable meanwhile.
func TestCheckHoldsNoLock(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "x", "x")
	pipe := filepath.Join(s.Core().Layout.Diff(img.TopLayer), "bin/su")
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.Core().Layout.Index(img.TopLayer)); err != nil { // or the pipe is found out before it is read
		t.Fatal(err)
	}
	found := make(chan []upkeep.Problem)
	go func() { found <- storetest.MustCheck(t, s, true) }()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the check to come to it
	if err != nil {
		t.Fatal(err)
	}
	storetest.MustImport(t, s, "y", "y")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if problems := <-found; len(problems) != 2 {
		t.Errorf("found %+v", problems)
	}
}
