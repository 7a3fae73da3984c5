package layers

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
)

// recorder remembers how far the layers of a transfer are.
type recorder struct {
	name   string
	states map[digest.Digest]LayerState
}

func (r *recorder) Begin(name string, layers []digest.Digest) {
	r.name, r.states = name, map[digest.Digest]LayerState{}
}

func (r *recorder) Layer(layer digest.Digest, state LayerState, _, _ int64) { r.states[layer] = state }

// count returns how many layers are in a state.
func (r *recorder) count(state LayerState) int {
	n := 0
	for _, s := range r.states {
		if s == state {
			n++
		}
	}
	return n
}

// testRegistry is a registry on the loopback interface, which counts how often each blob is fetched.
type testRegistry struct {
	host string

	mu       sync.Mutex
	fetched  map[string]int      // by the last component of the path
	ranges   map[string][]string // the parts that were asked for, likewise
	breakage breakage            // what goes wrong, nil for nothing
}

// breakage answers a request wrongly, or tells that it does not.
type breakage func(w http.ResponseWriter, req *http.Request) bool

// count notes what is fetched, and returns what is to go wrong with it.
func (r *testRegistry) count(req *http.Request) breakage {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Method == http.MethodGet {
		name := path.Base(req.URL.Path)
		r.fetched[name]++
		if part := req.Header.Get("Range"); part != "" {
			r.ranges[name] = append(r.ranges[name], part)
		}
	}
	return r.breakage
}

// breakWith lets requests go wrong from now on.
func (r *testRegistry) breakWith(f breakage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breakage = f
}

func newRegistry(t testing.TB) *testRegistry {
	t.Helper()
	r := &testRegistry{fetched: map[string]int{}, ranges: map[string][]string{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if breakage := r.count(req); breakage == nil || !breakage(w, req) {
			inner.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

func (r *testRegistry) put(t testing.TB, name, mediaType string, data []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+r.host+name, bytes.NewReader(data))
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

// push uploads an image under repo, without a tag if that is "".
func (r *testRegistry) push(t testing.TB, img *sample, repo, tag string) {
	t.Helper()
	for sum, data := range img.blobs {
		if sum == digest.FromBytes(img.manifest) {
			continue
		}
		resp, err := http.Post(fmt.Sprintf("http://%s/v2/%s/blobs/uploads/?digest=%s", r.host, repo, sum), "application/octet-stream", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("push blob: %s", resp.Status)
		}
	}
	if tag == "" {
		tag = digest.FromBytes(img.manifest).String()
	}
	r.put(t, "/v2/"+repo+"/manifests/"+tag, v1.MediaTypeImageManifest, img.manifest)
}
