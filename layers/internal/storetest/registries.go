package storetest

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers/progress"
)

// Recorder remembers how far the layers of a transfer are.
type Recorder struct {
	Name   string
	States map[digest.Digest]progress.LayerState
}

// Begin notes the layers of the image.
func (r *Recorder) Begin(name string, layers []digest.Digest) {
	r.Name, r.States = name, map[digest.Digest]progress.LayerState{}
}

// Layer notes the state of a layer.
func (r *Recorder) Layer(layer digest.Digest, state progress.LayerState, _, _ int64) {
	r.States[layer] = state
}

// Count returns how many layers are in a state.
func (r *Recorder) Count(state progress.LayerState) int {
	n := 0
	for _, s := range r.States {
		if s == state {
			n++
		}
	}
	return n
}

// TestRegistry is a registry on the loopback interface, which counts how often each blob is fetched.
type TestRegistry struct {
	Host string

	mu       sync.Mutex
	Fetched  map[string]int      // by the last component of the path
	Ranges   map[string][]string // the parts that were asked for, likewise
	breakage Breakage            // what goes wrong, nil for nothing
}

// Breakage answers a request wrongly, or tells that it does not.
type Breakage func(w http.ResponseWriter, req *http.Request) bool

// count notes what is fetched, and returns what is to go wrong with it.
func (r *TestRegistry) count(req *http.Request) Breakage {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Method == http.MethodGet {
		name := path.Base(req.URL.Path)
		r.Fetched[name]++
		if part := req.Header.Get("Range"); part != "" {
			r.Ranges[name] = append(r.Ranges[name], part)
		}
	}
	return r.breakage
}

// BreakWith lets requests go wrong from now on.
func (r *TestRegistry) BreakWith(f Breakage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breakage = f
}

// NewRegistry starts a registry, which the test's end stops.
func NewRegistry(t testing.TB) *TestRegistry {
	t.Helper()
	r := &TestRegistry{Fetched: map[string]int{}, Ranges: map[string][]string{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if breakage := r.count(req); breakage == nil || !breakage(w, req) {
			inner.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(server.Close)
	r.Host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// Put puts data at a path of the registry.
func (r *TestRegistry) Put(t testing.TB, name, mediaType string, data []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+r.Host+name, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("PUT %s: %s", name, resp.Status)
	}
}

// Push uploads an image under repo, without a tag if that is "".
func (r *TestRegistry) Push(t testing.TB, img *Sample, repo, tag string) {
	t.Helper()
	for sum, data := range img.Blobs {
		if sum == digest.FromBytes(img.Manifest) {
			continue
		}
		resp, err := http.Post(fmt.Sprintf("http://%s/v2/%s/blobs/uploads/?digest=%s", r.Host, repo, sum),
			"application/octet-stream", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("push blob: %s", resp.Status)
		}
	}
	if tag == "" {
		tag = digest.FromBytes(img.Manifest).String()
	}
	r.Put(t, "/v2/"+repo+"/manifests/"+tag, v1.MediaTypeImageManifest, img.Manifest)
}
