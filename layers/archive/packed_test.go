package archive_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

// largeSample is an image with a layer that does not compress to less than maxExtracted.
func largeSample(t *testing.T) *storetest.Sample {
	t.Helper()
	noise := make([]byte, archive.MaxExtracted+1000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	return storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"),
		storetest.ArchiveOf(t, storetest.File{Name: "noise", Data: noise}))
}

// TestUnpackLayout writes out all of an archive but the large layer, of which it knows where it is.
func TestUnpackLayout(t *testing.T) {
	img := largeSample(t)
	file, err := os.Open(storetest.WriteFile(t,
		storetest.ArchiveOf(t, storetest.LayoutFiles(t, []*storetest.Sample{img}, []map[string]string{nil})...)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := filepath.Join(t.TempDir(), "layout")
	packed, err := archive.UnpackLayout(context.Background(), file, dir)
	if err != nil {
		t.Fatal(err)
	}
	for sum, data := range img.Blobs {
		large := len(data) > archive.MaxExtracted
		written, err := os.ReadFile(filepath.Join(dir, "blobs/sha256", sum.Encoded()))
		if large != (err != nil) || !large && !slices.Equal(written, data) {
			t.Errorf("a blob of %d bytes is written out as %d: %v", len(data), len(written), err)
		}
		if !large {
			continue
		}
		found := make([]byte, len(data))
		if n, err := packed[sum].ReadAt(found, 0); n != len(data) || err != nil || !slices.Equal(found, data) {
			t.Errorf("%d bytes of a blob of %d are where it should be: %v", n, len(data), err)
		}
	}
	if len(packed) != 1 {
		t.Errorf("%d blobs are left in the archive", len(packed))
	}
}

// TestLoadLarge loads an image whose layer is read where it is in the archive, and one whose layer is not what its
// digest says.
func TestLoadLarge(t *testing.T) {
	img := largeSample(t)
	files := storetest.LayoutFiles(t, []*storetest.Sample{img},
		[]map[string]string{{storetest.ContainerdAnnotation: "app:1"}})
	s := storetest.OpenStore(t)
	if loaded, err := archive.Load(context.Background(), s, storetest.WriteFile(t, storetest.ArchiveOf(t, files...)),
		nil, archive.LoadOptions{}); err != nil || !slices.Equal(loaded, []string{"app:1"}) {
		t.Errorf("loaded %q, %v", loaded, err)
	}
	for i, f := range files {
		if len(f.Data) > archive.MaxExtracted {
			files[i].Data = slices.Clone(f.Data)
			files[i].Data[archive.MaxExtracted/2]++
		}
	}
	if _, err := archive.Load(context.Background(), storetest.OpenStore(t),
		storetest.WriteFile(t, storetest.ArchiveOf(t, files...)), nil, archive.LoadOptions{}); err == nil ||
		!strings.Contains(err.Error(), "unpack layer") {
		t.Errorf("load of a damaged layer: %v", err)
	}
}
