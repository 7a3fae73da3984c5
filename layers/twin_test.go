package layers

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"sync"
	"testing"
)

// TestImportTwice imports one tar several times, in every form: there is one layer.
func TestImportTwice(t *testing.T) {
	data := rootfsTar(t, "x")
	forms := map[string]func() io.Reader{
		"file":       func() io.Reader { return bytes.NewReader(data) },
		"pipe":       func() io.Reader { return onlyReader{bytes.NewReader(data)} },
		"compressed": func() io.Reader { return bytes.NewReader(compress(t, data)) },
	}
	for first := range forms {
		s := openStore(t)
		for _, form := range []string{first, "file", "pipe", "compressed", first} {
			id, err := s.Import(context.Background(), forms[form](), ImportOptions{Message: form})
			if err != nil {
				t.Fatalf("%s after %s: %v", form, first, err)
			}
			if _, err := s.Image(id); err != nil {
				t.Errorf("%s after %s: %v", form, first, err)
			}
			if layers, err := s.lib.Layers(); err != nil || len(layers) != 1 {
				t.Errorf("%s after %s: %d layers, %v; want one", form, first, len(layers), err)
			}
		}
		isClean(t, s)
		if _, err := s.Import(context.Background(), bytes.NewReader(rootfsTar(t, "y")), ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		if layers, err := s.lib.Layers(); err != nil || len(layers) != 2 {
			t.Errorf("of another tar: %d layers, %v; want two", len(layers), err)
		}
	}
}

// TestImportThenPull pulls an image whose lowest layer was imported from a file: it is the same layer.
func TestImportThenPull(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	base := rootfsTar(t, "x")
	if _, err := s.Import(context.Background(), bytes.NewReader(base), ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	img := newSample(t, runtime.GOARCH, base, patchTar(t))
	reg.push(t, img, "app", "latest")
	if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	checkSample(t, s, img)
	if layers, err := s.lib.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v; want two", len(layers), err)
	}
}

// TestCommitTwice commits one state of a container twice.
func TestCommitTwice(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "base", "x")
	id := containerID(1)
	if err := s.CreateContainer(id, "", img); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(id)
	if err != nil {
		t.Fatal(err)
	}
	write(t, stack.Upper+"/new", "new")
	for range 2 {
		for _, squash := range []bool{false, true} {
			if _, err := s.Commit(context.Background(), id, CommitOptions{Image: img.ID, Squash: squash}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if layers, err := s.lib.Layers(); err != nil || len(layers) != 4 {
		t.Errorf("%d layers, %v; want that of the image, of the container, of its changes and of all", len(layers), err)
	}
}

// TestImportAtOnce imports one tar from pipes in several goroutines, each of which may take the layer of another.
func TestImportAtOnce(t *testing.T) {
	data, s := rootfsTar(t, "x"), openStore(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			var r io.Reader = bytes.NewReader(data)
			if i%2 == 0 {
				r = onlyReader{r}
			}
			id, err := s.Import(context.Background(), r, ImportOptions{})
			if err != nil {
				t.Error(err)
			} else if _, err := s.Image(id); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	isClean(t, s)
}
