package layers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCheckAndRepair breaks a store of two images in one way after the other. The check must name what is broken, the
// image that is not must stay usable, and after the repair all must be well.
func TestCheckAndRepair(t *testing.T) {
	victimOf := func(s *Store) *Image { img, _ := s.Image("victim:1"); return img }
	top := func(s *Store, elem ...string) string {
		return filepath.Join(append([]string{s.layout.layer(victimOf(s).TopLayer)}, elem...)...)
	}
	config := func(s *Store) string {
		files, _ := filepath.Glob(filepath.Join(s.recordDir(imageRecords), victimOf(s).ID, "=*"))
		return files[len(files)-1]
	}
	for name, c := range map[string]struct {
		damage func(s *Store) error
		deep   bool
		want   []ProblemKind
		text   string
	}{
		"tree":     {func(s *Store) error { return os.RemoveAll(top(s)) }, false, []ProblemKind{BrokenImage, BrokenLayer}, "files are missing"},
		"parent":   {func(s *Store) error { return os.Remove(top(s, "parent")) }, false, []ProblemKind{BrokenImage, BrokenLayer}, "below it"},
		"headers":  {func(s *Store) error { return os.Remove(s.tarSplit(victimOf(s).TopLayer)) }, false, []ProblemKind{BrokenImage, BrokenLayer}, "headers"},
		"content":  {func(s *Store) error { return flip(top(s, "diff/etc/motd"), 0) }, true, []ProblemKind{BrokenImage, BrokenLayer}, "not what was unpacked"},
		"shorter":  {func(s *Store) error { return os.Truncate(top(s, "diff/etc/motd"), 2) }, true, []ProblemKind{BrokenImage, BrokenLayer}, "/etc/motd has changed"},
		"configs":  {func(s *Store) error { return os.RemoveAll(filepath.Dir(config(s))) }, false, []ProblemKind{BrokenImage}, "configuration cannot be read"},
		"a config": {func(s *Store) error { return os.WriteFile(config(s), []byte("{}"), 0o600) }, false, []ProblemKind{BrokenImage}, "bytes instead of"},
		"unlisted": {func(s *Store) error { return os.MkdirAll(s.layout.diff(strings.Repeat("e", 64)), 0o700) }, false, []ProblemKind{Leftover}, "no layer eee"},
		"image files": {func(s *Store) error {
			return os.Mkdir(filepath.Join(s.recordDir(imageRecords), strings.Repeat("e", 64)), 0o700)
		}, false, []ProblemKind{Leftover}, "no image eee"},
		"half a write": {func(s *Store) error {
			return os.WriteFile(filepath.Join(s.recordDir(imageRecords), ".tmp-images.json1"), nil, 0o600)
		}, false, []ProblemKind{Leftover}, "being written"},
		"staging": {func(s *Store) error { return os.MkdirAll(filepath.Join(s.layout.staging(), "X", "diff"), 0o700) }, false, []ProblemKind{Leftover}, "unfinished"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			mustImport(t, s, "good:1", "x")
			base, patch := rootfsTar(t, "x"), patchTar(t)
			mustLoad(t, s, newSample(t, "amd64", base, patch), "victim:1")
			isClean(t, s)
			if err := c.damage(s); err != nil {
				t.Fatal(err)
			}
			problems := mustCheck(t, s, c.deep)
			var kinds []ProblemKind
			var texts strings.Builder
			for _, p := range problems {
				kinds = append(kinds, p.Kind)
				texts.WriteString(p.Text + "\n")
			}
			slices.Sort(kinds)
			if !slices.Equal(kinds, c.want) || !strings.Contains(texts.String(), c.text) {
				t.Fatalf("found %+v, want %q with %q", problems, c.want, c.text)
			}
			if _, err := s.Image("good:1"); err != nil {
				t.Error(err)
			}
			done, err := s.Repair(problems)
			if err != nil || len(done) != len(problems) {
				t.Fatal(done, err)
			}
			for _, d := range done {
				if !d.Fixed {
					t.Errorf("not repaired: %+v", d)
				}
				if d.Kind == BrokenImage && (d.Remedy != PullAgain || !slices.Equal(d.Names, []string{"docker.io/library/victim:1"})) {
					t.Errorf("it is not said how to get the image again: %+v", d)
				}
			}
			isClean(t, s)
			want := 2
			if slices.Contains(c.want, BrokenImage) {
				want = 1
			}
			if images, err := s.Images(); err != nil || len(images) != want {
				t.Errorf("%d images, want %d; %v", len(images), want, err)
			}
		})
	}
}

// TestRepairSparesContainers checks that an image which a container needs stays, however broken.
func TestRepairSparesContainers(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "victim", "x")
	if err := s.CreateContainer(containerID(1), "", img); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.layout.diff(img.TopLayer)); err != nil {
		t.Fatal(err)
	}
	done, err := s.Repair(mustCheck(t, s, false))
	if err != nil || len(done) != 3 {
		t.Fatal(done, err)
	}
	for _, d := range done {
		removes := d.Remedy == RemoveContainer && d.ID == containerID(1)
		if d.Fixed || !removes && !strings.Contains(d.Action, containerID(1)) {
			t.Errorf("%+v", d)
		}
	}
	if err := s.RemoveContainer(containerID(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Repair(mustCheck(t, s, false)); err != nil {
		t.Fatal(err)
	}
	isClean(t, s)
}

// TestLostLayerRecord loses the record of a container's layer. What the container wrote must outlive the repair.
func TestLostLayerRecord(t *testing.T) {
	dir := t.TempDir()
	s := openStoreAt(t, dir)
	if err := s.CreateContainer(containerID(1), "", mustImport(t, s, "x", "x")); err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(s.layout.diff(containerID(1)), "work")
	mustWrite(t, work, "of a day")
	path := filepath.Join(s.recordDir(layerRecords), "layers.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, path, strings.Replace(string(text), `"id":"`+containerID(1), `"id":7,"x":"`, 1))
	s = openStoreAt(t, dir)
	if _, err := s.Repair(mustCheck(t, s, true)); err != nil {
		t.Error(err)
	}
	if _, err := s.tidy(time.Now().Add(time.Hour)); err != nil {
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
		"cut off":          {imageRecords, "images.json", func(text string) string { return text[:len(text)-10] }, 1},
		"a bad digest":     {imageRecords, "images.json", func(text string) string { return strings.Replace(text, `"digest":"sha256:`, `"digest":"md5:`, 1) }, 1},
		"another type":     {imageRecords, "images.json", func(text string) string { return strings.Replace(text, `"id":"`, `"id":["x"],"x":"`, 1) }, 1},
		"no list":          {imageRecords, "images.json", func(text string) string { return "{}" }, 0},
		"zeros":            {imageRecords, "images.json", func(text string) string { return strings.Repeat("\x00", 100) }, 0},
		"layers cut off":   {layerRecords, "layers.json", func(text string) string { return text[:len(text)-10] }, 2},
		"a layer's record": {layerRecords, "layers.json", func(text string) string { return strings.Replace(text, `"created":"2`, `"created":"x`, 1) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStoreAt(t, dir)
			mustImport(t, s, "one", "1")
			mustImport(t, s, "two", "2")
			path := filepath.Join(s.recordDir(c.kind), c.file)
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
			mustWrite(t, path, damaged)

			s = openStoreAt(t, dir)
			images, err := s.Images()
			if len(images) != c.left || (c.kind == layerRecords) == (err == nil) {
				t.Errorf("%d images, want %d; %v", len(images), c.left, err)
			}
			problems := mustCheck(t, s, true)
			if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Kind == LostRecords && strings.HasPrefix(p.ID, path) }) {
				t.Errorf("%s is not named in %+v", path, problems)
			}
			if _, err := s.Repair(problems); err != nil {
				t.Error(err)
			}
			isClean(t, s)
			mustImport(t, s, "three", "3")
			isClean(t, s)
		})
	}
}

// TestUnfinishedImage makes the record of an image whose maker was killed before it wrote the image's files.
func TestUnfinishedImage(t *testing.T) {
	dir := t.TempDir()
	s := openStoreAt(t, dir)
	img := mustImport(t, s, "whole", "x")
	if _, err := s.lib.CreateImage(strings.Repeat("e", 64), nil, img.TopLayer, "", nil); err != nil {
		t.Fatal(err)
	}
	if images, err := s.Images(); err != nil || len(images) != 1 {
		t.Errorf("%d images are listed, %v", len(images), err)
	}
	place, err := s.begin()
	if err != nil {
		t.Fatal(err)
	}
	place.lock.Close() // as the kernel does when a process ends
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStoreAt(t, dir)
	if records, err := s.lib.Images(); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
	isClean(t, s)
}

// TestKeptLayers checks that what a cut-off pull has left stays for a day, and goes then, unless somebody is at work.
func TestKeptLayers(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "whole", "x")
	parent := img.TopLayer
	for i := range 2 {
		layer, _, err := s.lib.PutLayer("", parent, nil, "", false, nil, bytes.NewReader(rootfsTar(t, fmt.Sprint(i))))
		if err != nil {
			t.Fatal(err)
		}
		parent = layer.ID
	}
	isClean(t, s)
	for name, c := range map[string]struct {
		before time.Time
		want   int
	}{"a day old": {time.Now().Add(-keepTime), 0}, "of any age": {time.Now().Add(time.Second), 2}} {
		working, err := newScratch(s.tempRoot())
		if err != nil {
			t.Fatal(err)
		}
		if removed, err := s.tidy(c.before); err != nil || len(removed) != 0 {
			t.Errorf("%s, while somebody works: removed %+v, %v", name, removed, err)
		}
		if err := working.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if removed, err := s.tidy(time.Now().Add(-keepTime)); err != nil || len(removed) != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if removed, err := s.tidy(time.Now().Add(time.Second)); err != nil || len(removed) != 2 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if _, err := s.Image("whole"); err != nil {
		t.Error(err)
	}
}

// TestCheckBesidePulls checks a store again and again while images come and go: nothing may be taken for broken.
func TestCheckBesidePulls(t *testing.T) {
	s := openStore(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			img := newSample(t, "amd64", rootfsTar(t, "x"), patchTar(t))
			mustLoad(t, s, img, "app:1")
			if _, err := s.RemoveImage("app:1", RemoveOptions{}); err != nil {
				t.Error(err)
			}
		}
	}()
	checks := 0
	for ; ; checks++ {
		for _, p := range mustCheck(t, s, true) {
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
	s := openStore(t)
	img := mustImport(t, s, "x", "x")
	pipe := filepath.Join(s.layout.diff(img.TopLayer), "bin/su")
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.layout.index(img.TopLayer)); err != nil { // or the pipe is found out before it is read
		t.Fatal(err)
	}
	found := make(chan []Problem)
	go func() { found <- mustCheck(t, s, true) }()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the check to come to it
	if err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, "y", "y")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if problems := <-found; len(problems) != 2 {
		t.Errorf("found %+v", problems)
	}
}
