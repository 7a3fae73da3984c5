package intake_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

// TestLayerReader reads blobs that are and are not what they are said to be.
func TestLayerReader(t *testing.T) {
	content := storetest.ArchiveOf(t, storetest.File{Name: "a", Data: bytes.Repeat([]byte("content "), 1000)})
	zipped := storetest.Compress(t, content)
	other := digest.FromString("other")
	for what, c := range map[string]struct {
		blob   []byte
		digest digest.Digest
		size   int64
		diffID digest.Digest
		want   string // in the error
	}{
		"plain":             {content, digest.FromBytes(content), int64(len(content)), digest.FromBytes(content), ""},
		"plain of any size": {content, digest.FromBytes(content), -1, digest.FromBytes(content), ""},
		"compressed":        {zipped, digest.FromBytes(zipped), int64(len(zipped)), digest.FromBytes(content), ""},
		"other plain blob":  {content, other, -1, other, "does not match"},
		"other blob":        {zipped, other, -1, digest.FromBytes(content), "blob does not match"},
		"other content":     {zipped, digest.FromBytes(zipped), -1, other, "content does not match"},
		"appended to": {append(zipped[:len(zipped):len(zipped)], zipped...), digest.FromBytes(zipped), -1,
			digest.FromBytes(content), "does not match"},
		"other size": {zipped, digest.FromBytes(zipped), int64(len(zipped)) - 1, digest.FromBytes(content),
			"bytes, not"},
		"compressed twice": {storetest.Compress(t, zipped), digest.FromBytes(storetest.Compress(t, zipped)), -1,
			digest.FromBytes(zipped), "twice"},
		"said to be plain":   {zipped, digest.FromBytes(zipped), -1, digest.FromBytes(zipped), "does not match"},
		"cut off":            {zipped[:len(zipped)-20], digest.FromBytes(zipped), -1, digest.FromBytes(content), "EOF"},
		"empty and expected": {nil, digest.FromBytes(nil), 0, digest.FromBytes(nil), ""},
	} {
		r, err := intake.NewLayerReader(bytes.NewReader(c.blob), types.BlobInfo{Digest: c.digest, Size: c.size},
			c.diffID)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
			r.Close()
		}
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want one with %q", what, err, c.want)
		case c.want == "" && (err != nil || digest.FromBytes(got) != c.diffID):
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
}

// TestLoadedLayersAreKnownByTheirBlobs loads an image with compressed layers, and once more.
func TestLoadedLayersAreKnownByTheirBlobs(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.NewSample(t, "amd64", storetest.PatchTar(t))
	dir := storetest.WriteFiles(t, storetest.LayoutFiles(t, []*storetest.Sample{img},
		[]map[string]string{{storetest.ContainerdAnnotation: "docker.io/library/app:1"}}))
	if _, err := archive.Load(context.Background(), s, dir, nil, archive.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		layers, err := s.Core().Lib.Layers()
		if err != nil || len(layers) != len(img.Layers) {
			t.Fatalf("%d layers, %v; want %d", len(layers), err, len(img.Layers))
		}
		for _, layer := range layers {
			forms, err := intake.Forms(s, layer.ID)
			if err != nil || len(forms) != 1 || forms[0].Digest != layer.CompressedDigest {
				t.Errorf("layer %s is known as %v, %v; want %s", layer.ID, forms, err, layer.CompressedDigest)
			}
			if _, err := os.Stat(s.Core().Layout.Index(layer.ID)); err != nil {
				t.Error(err)
			}
		}
		// again: nothing changes
		if _, err := archive.Load(context.Background(), s, dir, nil, archive.LoadOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
