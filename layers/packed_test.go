package layers

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// largeSample is an image with a layer that does not compress to less than maxExtracted.
func largeSample(t *testing.T) *sample {
	t.Helper()
	noise := make([]byte, maxExtracted+1000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	return newSample(t, "amd64", rootfsTar(t, "x"), archiveOf(t, file{"noise", noise}))
}

// TestUnpackLayout writes out all of an archive but the large layer, of which it knows where it is.
func TestUnpackLayout(t *testing.T) {
	img := largeSample(t)
	archive, err := os.Open(writeFile(t, archiveOf(t, layoutFiles(t, []*sample{img}, []map[string]string{nil})...)))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	dir := filepath.Join(t.TempDir(), "layout")
	packed, err := unpackLayout(context.Background(), archive, dir)
	if err != nil {
		t.Fatal(err)
	}
	for sum, data := range img.blobs {
		large := len(data) > maxExtracted
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
	files := layoutFiles(t, []*sample{img}, []map[string]string{{containerdAnnotation: "app:1"}})
	s := openStore(t)
	if loaded, err := s.Load(context.Background(), writeFile(t, archiveOf(t, files...)), nil, LoadOptions{}); err != nil || !slices.Equal(loaded, []string{"app:1"}) {
		t.Errorf("loaded %q, %v", loaded, err)
	}
	for i, f := range files {
		if len(f.data) > maxExtracted {
			files[i].data = slices.Clone(f.data)
			files[i].data[maxExtracted/2]++
		}
	}
	if _, err := openStore(t).Load(context.Background(), writeFile(t, archiveOf(t, files...)), nil, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "unpack layer") {
		t.Errorf("load of a damaged layer: %v", err)
	}
}
