package layers

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/types"
)

// TestLayerReader reads blobs that are and are not what they are said to be.
func TestLayerReader(t *testing.T) {
	content := archiveOf(t, file{"a", bytes.Repeat([]byte("content "), 1000)})
	zipped := compress(t, content)
	other := digest.FromString("other")
	for what, c := range map[string]struct {
		blob   []byte
		digest digest.Digest
		size   int64
		diffID digest.Digest
		want   string // in the error
	}{
		"plain":              {content, digest.FromBytes(content), int64(len(content)), digest.FromBytes(content), ""},
		"plain of any size":  {content, digest.FromBytes(content), -1, digest.FromBytes(content), ""},
		"compressed":         {zipped, digest.FromBytes(zipped), int64(len(zipped)), digest.FromBytes(content), ""},
		"other plain blob":   {content, other, -1, other, "does not match"},
		"other blob":         {zipped, other, -1, digest.FromBytes(content), "blob does not match"},
		"other content":      {zipped, digest.FromBytes(zipped), -1, other, "content does not match"},
		"appended to":        {append(zipped[:len(zipped):len(zipped)], zipped...), digest.FromBytes(zipped), -1, digest.FromBytes(content), "does not match"},
		"other size":         {zipped, digest.FromBytes(zipped), int64(len(zipped)) - 1, digest.FromBytes(content), "bytes, not"},
		"compressed twice":   {compress(t, zipped), digest.FromBytes(compress(t, zipped)), -1, digest.FromBytes(zipped), "twice"},
		"said to be plain":   {zipped, digest.FromBytes(zipped), -1, digest.FromBytes(zipped), "does not match"},
		"cut off":            {zipped[:len(zipped)-20], digest.FromBytes(zipped), -1, digest.FromBytes(content), "EOF"},
		"empty and expected": {nil, digest.FromBytes(nil), 0, digest.FromBytes(nil), ""},
	} {
		r, err := newLayerReader(bytes.NewReader(c.blob), types.BlobInfo{Digest: c.digest, Size: c.size}, c.diffID)
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
	s := openStore(t)
	img := newSample(t, "amd64", patchTar(t))
	dir := writeFiles(t, layoutFiles(t, []*sample{img}, []map[string]string{{containerdAnnotation: "docker.io/library/app:1"}}))
	if _, err := s.Load(context.Background(), dir, nil, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		layers, err := s.lib.Layers()
		if err != nil || len(layers) != len(img.layers) {
			t.Fatalf("%d layers, %v; want %d", len(layers), err, len(img.layers))
		}
		for _, layer := range layers {
			forms, err := s.forms(layer.ID)
			if err != nil || len(forms) != 1 || forms[0].Digest != layer.CompressedDigest {
				t.Errorf("layer %s is known as %v, %v; want %s", layer.ID, forms, err, layer.CompressedDigest)
			}
			if _, err := os.Stat(s.layout.index(layer.ID)); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.Load(context.Background(), dir, nil, LoadOptions{}); err != nil { // again: nothing changes
			t.Fatal(err)
		}
	}
}
