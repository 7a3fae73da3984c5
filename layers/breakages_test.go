package layers

import (
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
)

// bigSample is an image with a layer of some hundred kilobytes when it is compressed; it returns that layer's blob.
func bigSample(t *testing.T) (*sample, digest.Digest) {
	t.Helper()
	content := make([]byte, 400_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	layer := archiveOf(t, file{"big", content})
	return newSample(t, "amd64", rootfsTar(t, "x"), layer, patchTar(t)), digest.FromBytes(compress(t, layer))
}

// quickly is a retry without much waiting.
func quickly(times int) RegistryOptions {
	return RegistryOptions{Retry: Retry{Times: times, Delay: time.Millisecond}}
}

// on limits a breakage to some requests for a blob or manifest; a negative number is all.
func on(name string, times int32, f breakage) breakage {
	var n atomic.Int32
	return func(w http.ResponseWriter, req *http.Request) bool {
		return req.Method == http.MethodGet && path.Base(req.URL.Path) == name && (times < 0 || n.Add(1) <= times) && f(w, req)
	}
}

func status(code int) breakage {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "0")
		http.Error(w, "sorry", code)
		return true
	}
}

// cut sends the beginning of a blob and breaks the connection off.
func cut(blob []byte, n int) breakage {
	return func(w http.ResponseWriter, req *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		w.Write(blob[:n])
		panic(http.ErrAbortHandler)
	}
}

// send sends something else, as if it were the blob.
func send(content []byte) breakage {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Write(content)
		return true
	}
}

// blobsLeft lists what downloads have left in the store.
func blobsLeft(t *testing.T, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.root + "/blobs")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// altered is content of the same length.
func altered(content []byte) []byte {
	other := slices.Clone(content)
	other[len(other)/2] ^= 1
	return other
}

// configDigest is the digest of the configuration as requests name it.
func (s *sample) configDigest() string { return digest.FromBytes(s.config).String() }

// isEmpty checks that the store has no image and no layer.
func isEmpty(t *testing.T, s *Store) {
	t.Helper()
	if images, err := s.Images(); len(images) > 0 || err != nil {
		t.Errorf("images %+v, %v", images, err)
	}
	if layers, err := s.lib.Layers(); len(layers) > 0 || err != nil {
		t.Errorf("layers %+v, %v", layers, err)
	}
}
