package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/tree"
)

// TestCommitOfCrowd changes one file of an image of 300,000 and commits: one entry is made beside its directory's, and
// nothing of the image is opened or listed. The image's files are made without a tar, which is not what this is about,
// as links, which disks make faster.
func TestCommitOfCrowd(t *testing.T) {
	const dirs, files = 300, 1000
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "crowd", "x")
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", img); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1))
	if err != nil {
		t.Fatal(err)
	}
	opened := newOpenWatch(t)
	for i := range dirs {
		dir := filepath.Join(stack.Lowers[0].Dir, fmt.Sprintf("d%d", i))
		first := filepath.Join(dir, "f0")
		write(t, first, "")
		for j := range files - 1 {
			if err := unix.Link(first, filepath.Join(dir, fmt.Sprintf("f%d", j+1))); err != nil {
				t.Fatal(err)
			}
		}
		opened.add(dir)
	}
	write(t, filepath.Join(stack.Upper, "d7", "f7"), "changed")
	changes, err := s.ContainerChanges(context.Background(), storetest.ContainerID(1), nil)
	if want := []tree.Change{{Path: "/d7", Kind: tree.Modified}, {Path: "/d7/f7", Kind: tree.Modified}}; err != nil ||
		!slices.Equal(changes, want) {
		t.Errorf("changes %v, %v", changes, err)
	}
	committed, err := archive.Commit(context.Background(), s, storetest.ContainerID(1),
		archive.CommitOptions{Image: img.ID})
	if err != nil {
		t.Fatal(err)
	}
	if n := opened.count(); n > 0 {
		t.Errorf("%d files or directories of the image were opened", n)
	}
	layers := storetest.MustImage(t, s, committed).Layers
	if len(layers) != 2 || layers[0] != img.Layers[0] {
		t.Fatalf("layers %+v", layers)
	}
	var out bytes.Buffer
	if err := s.Core().WriteLayer(&out, layers[1].ID, layers[1].DiffID); err != nil {
		t.Fatal(err)
	}
	if got := storetest.TarNames(t, out.Bytes()); !slices.Equal(got, []string{"d7/", "d7/f7"}) {
		t.Errorf("the layer has the entries %q", got)
	}
	if _, err := os.ReadDir(filepath.Join(stack.Lowers[0].Dir, "d7")); err != nil || opened.count() == 0 {
		t.Errorf("the watch sees nothing: %v", err)
	}
}

// openWatch sees when directories, or files in them, are opened.
type openWatch struct {
	t  *testing.T
	fd int
}

func newOpenWatch(t *testing.T) *openWatch {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &openWatch{t, fd}
}

func (w *openWatch) add(dir string) {
	w.t.Helper()
	if _, err := unix.InotifyAddWatch(w.fd, dir, unix.IN_OPEN); err != nil {
		w.t.Fatal(err)
	}
}

// count returns the number of bytes that the kernel has to tell, which is none if nothing was opened.
func (w *openWatch) count() int {
	w.t.Helper()
	n, err := unix.Read(w.fd, make([]byte, 64<<10))
	if err != nil && err != unix.EAGAIN {
		w.t.Fatal(err)
	}
	return max(n, 0)
}

// write writes a file and the directories that it is in.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCommitSquash makes one layer of what a container shows, without what lies between.
func TestCommitSquash(t *testing.T) {
	s := storetest.OpenStore(t)
	base := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
	storetest.LoadSamples(t, s, []*storetest.Sample{base}, [][]string{{"app:1"}})
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "",
		storetest.MustImage(t, s, "app:1")); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1))
	if err != nil {
		t.Fatal(err)
	}
	between := t.TempDir()
	write(t, filepath.Join(between, "between"), "x")
	write(t, filepath.Join(stack.Upper, "new"), "x")
	write(t, filepath.Join(stack.Upper, layerfmt.WhiteoutPrefix+"between"), "")
	write(t, filepath.Join(stack.Upper, "bin", layerfmt.WhiteoutPrefix+"su"), "")
	id, err := archive.Commit(context.Background(), s, storetest.ContainerID(1),
		archive.CommitOptions{Image: base.ID(), Between: []string{between}, Squash: true, Name: "flat"})
	if err != nil {
		t.Fatal(err)
	}
	img := storetest.MustImage(t, s, "flat")
	if steps := img.History(); len(steps) != 3 || steps[0].Layer == nil || steps[1].Layer != nil ||
		steps[2].Layer != nil {
		t.Errorf("history %+v, want two steps without a layer and one that has all", steps)
	}
	if img.ID != id || len(img.Layers) != 1 || len(img.Config.RootFS.DiffIDs) != 1 || img.Docker.Healthcheck == nil {
		t.Errorf("image %+v", img)
	}
	var out bytes.Buffer
	if err := s.Core().WriteLayer(&out, img.Layers[0].ID, img.Layers[0].DiffID); err != nil {
		t.Fatal(err)
	}
	if want, got := []string{"./", "bin/", "bin/sh", "dev/", "dev/null", "etc/", "etc/motd", "etc/shadow", "new"},
		storetest.TarNames(t, out.Bytes()); !slices.Equal(got, want) {
		t.Errorf("the layer has the entries %q, want %q", got, want)
	}
	if st, ok := (tree.Lowers{s.Core().Layout.Tree(img.TopLayer)}).Lookup([]string{"etc", "shadow"}); !ok ||
		st.GID != 42 || st.Mode != unix.S_IFREG|0o640 {
		t.Errorf("etc/shadow is %+v, %v", st, ok)
	}
}

// makeUnreadable gives the first container a file whose content is nowhere.
func makeUnreadable(t *testing.T, s *layers.Store) {
	t.Helper()
	stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(stack.Upper, "a"), "x")
	if err := os.Symlink("nowhere", filepath.Join(stack.Upper, "b")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(stack.Upper, "c"), "")
	if err := unix.Setxattr(filepath.Join(stack.Upper, "c"), layerfmt.DataXattr, []byte("7:not/there"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(stack.Upper, "c"), 5); err != nil {
		t.Fatal(err)
	}
}

// TestCommitFails checks that nothing is left of a commit that fails.
func TestCommitFails(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app:1", "x")
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", img); err != nil {
		t.Fatal(err)
	}
	makeUnreadable(t, s)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, commit := range map[string]func() error{
		"unreadable": func() error {
			_, err := archive.Commit(context.Background(), s, storetest.ContainerID(1),
				archive.CommitOptions{Image: img.ID})
			return err
		},
		"export of it": func() error {
			return archive.Export(context.Background(), s, io.Discard, storetest.ContainerID(1), nil)
		},
		"cancelled": func() error {
			_, err := archive.Commit(cancelled, s, storetest.ContainerID(1), archive.CommitOptions{Image: img.ID})
			return err
		},
		"bad name": func() error {
			_, err := archive.Commit(context.Background(), s, storetest.ContainerID(1),
				archive.CommitOptions{Name: "A"})
			return err
		},
		"no image": func() error {
			_, err := archive.Commit(context.Background(), s, storetest.ContainerID(1),
				archive.CommitOptions{Image: "ffff"})
			return err
		},
		"no container": func() error {
			_, err := archive.Commit(context.Background(), s, storetest.ContainerID(2), archive.CommitOptions{})
			return err
		},
	} {
		if err := commit(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v; want those of the image and the container", len(layers), err)
	}
	if images, err := s.Images(context.Background()); err != nil || len(images) != 1 {
		t.Errorf("%d images, %v", len(images), err)
	}
}
