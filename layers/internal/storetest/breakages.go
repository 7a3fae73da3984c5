package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/registry"
)

// BigSample is an image with a layer of some hundred kilobytes when it is compressed; it returns that layer's blob.
func BigSample(t *testing.T) (*Sample, digest.Digest) {
	t.Helper()
	content := make([]byte, 400_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	layer := ArchiveOf(t, File{"big", content})
	return NewSample(t, "amd64", RootfsTar(t, "x"), layer, PatchTar(t)), digest.FromBytes(Compress(t, layer))
}

// Quickly is a retry without much waiting.
func Quickly(times int) registry.Options {
	return registry.Options{Retry: registry.Retry{Times: times, Delay: time.Millisecond}}
}

// On limits a breakage to some requests for a blob or manifest; a negative number is all.
func On(name string, times int32, f Breakage) Breakage {
	var n atomic.Int32
	return func(w http.ResponseWriter, req *http.Request) bool {
		return req.Method == http.MethodGet && path.Base(req.URL.Path) == name && (times < 0 || n.Add(1) <= times) &&
			f(w, req)
	}
}

// Status answers with an HTTP status.
func Status(code int) Breakage {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "0")
		http.Error(w, "sorry", code)
		return true
	}
}

// Cut sends the beginning of a blob and breaks the connection off.
func Cut(blob []byte, n int) Breakage {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		w.Write(blob[:n])
		conn, rest, err := http.NewResponseController(w).Hijack()
		if err == nil {
			rest.Flush()
			conn.Close()
		}
		return true
	}
}

// Send sends something else, as if it were the blob.
func Send(content []byte) Breakage {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Write(content)
		return true
	}
}

// BlobsLeft lists what downloads have left in the store.
func BlobsLeft(t *testing.T, s *layers.Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.Core().Root + "/blobs")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Altered is content of the same length.
func Altered(content []byte) []byte {
	other := slices.Clone(content)
	other[len(other)/2] ^= 1
	return other
}

// ConfigDigest is the digest of the configuration as requests name it.
func (s *Sample) ConfigDigest() string { return digest.FromBytes(s.Config).String() }

// IsEmpty checks that the store has no image and no layer.
func IsEmpty(t *testing.T, s *layers.Store) {
	t.Helper()
	if images, err := s.Images(context.Background()); len(images) > 0 || err != nil {
		t.Errorf("images %+v, %v", images, err)
	}
	if layers, err := s.Core().Lib.Layers(); len(layers) > 0 || err != nil {
		t.Errorf("layers %+v, %v", layers, err)
	}
}
