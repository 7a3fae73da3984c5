package registry_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
)

// serveManifest answers requests for the image with a manifest of one's own.
func serveManifest(data []byte) storetest.Breakage {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
		w.Write(data)
		return true
	}
}

// TestPullHostile pulls from registries that lie or lead elsewhere. Each pull fails by itself, and leaves no image, no
// layer and no lock.
func TestPullHostile(t *testing.T) {
	img, big := storetest.BigSample(t)
	blob := img.Blobs[big]
	redirect := func(to string) storetest.Breakage {
		return storetest.On(big.String(), -1, func(w http.ResponseWriter, req *http.Request) bool {
			http.Redirect(w, req, to, http.StatusTemporaryRedirect)
			return true
		})
	}
	withLayer := func(change func(d *v1.Descriptor)) storetest.Breakage {
		m := parsed(img, t)
		change(&m.Layers[1])
		return serveManifest(storetest.MustJSON(t, m))
	}
	withDigest := func(d digest.Digest) storetest.Breakage { return withLayer(func(l *v1.Descriptor) { l.Digest = d }) }
	for name, f := range map[string]storetest.Breakage{
		"altered":               storetest.On(big.String(), -1, storetest.Send(storetest.Altered(blob))),
		"short":                 storetest.On(big.String(), -1, storetest.Send(blob[:len(blob)-1])),
		"long":                  storetest.On(big.String(), -1, storetest.Send(append(slices.Clone(blob), 'x'))),
		"empty":                 storetest.On(big.String(), -1, storetest.Send(nil)),
		"altered configuration": storetest.On(img.ConfigDigest(), -1, storetest.Send(storetest.Altered(img.Config))),
		"size of the layer":     withLayer(func(l *v1.Descriptor) { l.Size-- }),
		"MD5":                   withDigest("md5:d41d8cd98f00b204e9800998ecf8427e"),
		"digest with a path":    withDigest("sha256:../../../../../../../../etc/passwd"),
		"digest of a path":      withDigest("../../../../../../../../etc/passwd"),
		"short digest":          withDigest("sha256:00"),
		"no digest":             withDigest(""),
		"redirect to a file":    redirect("file:///etc/passwd"),
		"redirect to nothing":   redirect("http://127.0.0.1:1/blob"),
		"redirect in a loop":    redirect("/v2/app/blobs/" + big.String()),
		"no JSON":               serveManifest([]byte("{")),
		"no manifest":           serveManifest([]byte("{}")),
		"array for a manifest":  serveManifest([]byte("[]")),
	} {
		t.Run(name, func(t *testing.T) {
			reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
			reg.Push(t, img, "app", "latest")
			reg.BreakWith(f)
			checkRefused(t, reg, s)
		})
	}
}

// TestPullForeignLayer pulls an image whose layer is said to be elsewhere. Nobody asks there: the layer comes from the
// registry, or not at all.
func TestPullForeignLayer(t *testing.T) {
	img, big := storetest.BigSample(t)
	elsewhere := newListener(t, nil)
	m := parsed(img, t)
	m.Layers[1].MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	m.Layers[1].URLs = []string{"http://" + elsewhere.host + "/layer", "file:///etc/passwd"}
	manifest := serveManifest(storetest.MustJSON(t, m))
	missing := storetest.On(big.String(), -1, storetest.Status(http.StatusNotFound))
	for name, there := range map[string]bool{"in the registry": true, "elsewhere alone": false} {
		reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
		reg.Push(t, img, "app", "latest")
		reg.BreakWith(func(w http.ResponseWriter, req *http.Request) bool {
			return manifest(w, req) || !there && missing(w, req)
		})
		pulled, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{})
		if !there && err != nil {
			storetest.IsEmpty(t, s)
		} else if !there || err != nil || pulled.ID != img.ID() {
			t.Errorf("%s: pulled %s, %v", name, pulled.ID, err)
		}
	}
	if asked := elsewhere.all(); len(asked) > 0 {
		t.Errorf("elsewhere was asked %q", asked)
	}
}

// parsed returns the manifest of the image, to be changed.
func parsed(s *storetest.Sample, t *testing.T) (m v1.Manifest) {
	t.Helper()
	if err := json.Unmarshal(s.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// checkRefused pulls an image, which must fail and leave nothing but what is good for another attempt.
func checkRefused(t *testing.T, reg *storetest.TestRegistry, s *layers.Store) {
	t.Helper()
	pulled, err := registry.Pull(context.Background(), s, reg.Host+"/app",
		registry.PullOptions{Options: storetest.Quickly(1)})
	if err == nil || !strings.Contains(err.Error(), reg.Host+"/app") || strings.Contains(err.Error(), "root:") ||
		len(err.Error()) > 2000 {
		t.Errorf("pulled %s, %.3000v", pulled.ID, err)
	}
	storetest.IsEmpty(t, s)
	for _, name := range storetest.BlobsLeft(t, s) {
		if strings.HasSuffix(name, ".lock") {
			t.Errorf("left behind: %s", name)
		}
	}
}

// TestPullTooMuch pulls from a registry that sends endless manifests, or manifests of more layers than an image may
// have.
func TestPullTooMuch(t *testing.T) {
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	var sent atomic.Int64
	reg.BreakWith(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
		for sent.Load() < 3<<30 {
			n, err := w.Write(make([]byte, 1<<16))
			sent.Add(int64(n))
			if err != nil {
				break
			}
		}
		return true
	})
	checkRefused(t, reg, s)
	if n := sent.Load(); n > 64<<20 { // some of it is in buffers of the kernel's
		t.Errorf("took %d bytes of a manifest", n)
	}

	img, _ := storetest.BigSample(t)
	m := parsed(img, t)
	for i := range 20_000 {
		m.Layers = append(m.Layers, core.Descriptor(v1.MediaTypeImageLayerGzip, fmt.Append(nil, i)))
	}
	reg.BreakWith(serveManifest(storetest.MustJSON(t, m)))
	checkRefused(t, reg, s)
}

// TestTagsHostile asks a registry for tags that has such as no image can have.
func TestTagsHostile(t *testing.T) {
	for _, tags := range []string{`["../x"]`, `["a b"]`, `["\u001b[31m"]`, `[""]`, `["-x"]`, `[1]`, `{}`} {
		reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
		reg.BreakWith(func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.HasSuffix(req.URL.Path, "/tags/list") {
				return false
			}
			fmt.Fprintf(w, `{"name": "app", "tags": %s}`, tags)
			return true
		})
		names, err := registry.Tags(context.Background(), s, reg.Host+"/app", registry.Options{})
		if len(names) > 0 || err != nil && strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: %q, %v", tags, names, err)
		}
	}
}

// TestCredentialsStayWithTheirRegistry pulls from a registry that wants a password and sends its client elsewhere for
// blobs.
func TestCredentialsStayWithTheirRegistry(t *testing.T) {
	img, big := storetest.BigSample(t)
	elsewhere := newListener(t, img.Blobs[big])
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	reg.Push(t, img, "app", "latest")
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:secret"))
	reg.BreakWith(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("Authorization") != login {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if strings.HasSuffix(req.URL.Path, big.String()) {
			http.Redirect(w, req, "http://"+elsewhere.host+"/blob", http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	opts := registry.PullOptions{Options: registry.Options{Credentials: registry.Credentials{Username: "me",
		Password: "secret"}}}
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", opts); err != nil {
		t.Fatal(err)
	}
	storetest.CheckSample(t, s, img)
	if requests := elsewhere.all(); len(requests) != 1 || requests[0] != "GET /blob " {
		t.Errorf("elsewhere was asked %q, want once and without a password", requests)
	}
}

// listener is a server that is no registry.
type listener struct {
	host string

	mu       sync.Mutex
	requests []string // method, path and credentials
}

// newListener starts a server that answers all requests with content. Its name is another one than that of the
// registries of the tests.
func newListener(t *testing.T, content []byte) *listener {
	t.Helper()
	l := &listener{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.requests = append(l.requests, req.Method+" "+req.URL.Path+" "+req.Header.Get("Authorization"))
		w.Write(content)
	}))
	t.Cleanup(server.Close)
	l.host = strings.Replace(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", "localhost", 1)
	return l
}

func (l *listener) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}
