package archive_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
)

// TestImportTwice imports one tar several times, in every form: there is one layer.
func TestImportTwice(t *testing.T) {
	data := storetest.RootfsTar(t, "x")
	forms := map[string]func() io.Reader{
		"file":       func() io.Reader { return bytes.NewReader(data) },
		"pipe":       func() io.Reader { return storetest.OnlyReader{Reader: bytes.NewReader(data)} },
		"compressed": func() io.Reader { return bytes.NewReader(storetest.Compress(t, data)) },
	}
	for first := range forms {
		s := storetest.OpenStore(t)
		for _, form := range []string{first, "file", "pipe", "compressed", first} {
			id, err := archive.Import(context.Background(), s, forms[form](), archive.ImportOptions{Message: form})
			if err != nil {
				t.Fatalf("%s after %s: %v", form, first, err)
			}
			if _, err := s.Image(context.Background(), id); err != nil {
				t.Errorf("%s after %s: %v", form, first, err)
			}
			if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 1 {
				t.Errorf("%s after %s: %d layers, %v; want one", form, first, len(layers), err)
			}
		}
		storetest.IsClean(t, s)
		if _, err := archive.Import(context.Background(), s, bytes.NewReader(storetest.RootfsTar(t, "y")),
			archive.ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 2 {
			t.Errorf("of another tar: %d layers, %v; want two", len(layers), err)
		}
	}
}

// TestImportThenPull pulls an image whose lowest layer was imported from a file: it is the same layer.
func TestImportThenPull(t *testing.T) {
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	base := storetest.RootfsTar(t, "x")
	if _, err := archive.Import(context.Background(), s, bytes.NewReader(base), archive.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	img := storetest.NewSample(t, runtime.GOARCH, base, storetest.PatchTar(t))
	reg.Push(t, img, "app", "latest")
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.CheckSample(t, s, img)
	if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v; want two", len(layers), err)
	}
}

// TestCommitTwice commits one state of a container twice.
func TestCommitTwice(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "base", "x")
	id := storetest.ContainerID(1)
	if err := s.CreateContainer(context.Background(), id, "", img); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	write(t, stack.Upper+"/new", "new")
	for range 2 {
		for _, squash := range []bool{false, true} {
			if _, err := archive.Commit(context.Background(), s, id,
				archive.CommitOptions{Image: img.ID, Squash: squash}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 4 {
		t.Errorf("%d layers, %v; want that of the image, of the container, of its changes and of all", len(layers), err)
	}
}

// TestImportAtOnce imports one tar from pipes in several goroutines, each of which may take the layer of another.
func TestImportAtOnce(t *testing.T) {
	data, s := storetest.RootfsTar(t, "x"), storetest.OpenStore(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			var r io.Reader = bytes.NewReader(data)
			if i%2 == 0 {
				r = storetest.OnlyReader{Reader: r}
			}
			id, err := archive.Import(context.Background(), s, r, archive.ImportOptions{})
			if err != nil {
				t.Error(err)
			} else if _, err := s.Image(context.Background(), id); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	storetest.IsClean(t, s)
}
