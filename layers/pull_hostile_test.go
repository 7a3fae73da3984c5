package layers

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
)

// serveManifest answers requests for the image with a manifest of one's own.
func serveManifest(data []byte) breakage {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
		w.Write(data)
		return true
	}
}

// TestPullHostile pulls from registries that lie or lead elsewhere. Each pull fails by itself, and leaves no image, no layer
// and no lock.
func TestPullHostile(t *testing.T) {
	img, big := bigSample(t)
	blob := img.blobs[big]
	redirect := func(to string) breakage {
		return on(big.String(), -1, func(w http.ResponseWriter, req *http.Request) bool {
			http.Redirect(w, req, to, http.StatusTemporaryRedirect)
			return true
		})
	}
	elsewhere := newListener(t, nil)
	withLayer := func(change func(d *v1.Descriptor)) breakage {
		m := img.parsed(t)
		change(&m.Layers[1])
		return serveManifest(mustJSON(t, m))
	}
	withDigest := func(d digest.Digest) breakage { return withLayer(func(l *v1.Descriptor) { l.Digest = d }) }
	for name, f := range map[string]breakage{
		"altered":               on(big.String(), -1, send(altered(blob))),
		"short":                 on(big.String(), -1, send(blob[:len(blob)-1])),
		"long":                  on(big.String(), -1, send(append(slices.Clone(blob), 'x'))),
		"empty":                 on(big.String(), -1, send(nil)),
		"altered configuration": on(img.configDigest(), -1, send(altered(img.config))),
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
			reg, s := newRegistry(t), openStore(t)
			reg.push(t, img, "app", "latest")
			reg.breakWith(f)
			checkRefused(t, reg, s)
		})
	}
	t.Run("foreign layer", func(t *testing.T) {
		reg, s := newRegistry(t), openStore(t)
		reg.push(t, img, "app", "latest")
		reg.breakWith(withLayer(func(l *v1.Descriptor) {
			l.MediaType, l.URLs = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", []string{"http://" + elsewhere.host + "/layer", "file:///etc/passwd"}
		}))
		opts := PullOptions{RegistryOptions: RegistryOptions{Credentials: Credentials{Username: "me", Password: "secret"}}}
		if _, err := s.Pull(context.Background(), reg.host+"/app", opts); err == nil {
			t.Error("pulled")
		}
		isEmpty(t, s)
		for _, request := range elsewhere.all() {
			if request != "GET /layer " {
				t.Errorf("elsewhere was asked %q", request)
			}
		}
	})
}

// parsed returns the manifest of the image, to be changed.
func (s *sample) parsed(t *testing.T) (m v1.Manifest) {
	t.Helper()
	if err := json.Unmarshal(s.manifest, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// checkRefused pulls an image, which must fail and leave nothing but what is good for another attempt.
func checkRefused(t *testing.T, reg *testRegistry, s *Store) {
	t.Helper()
	pulled, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{RegistryOptions: quickly(1)})
	if err == nil || !strings.Contains(err.Error(), reg.host+"/app") || strings.Contains(err.Error(), "root:") || len(err.Error()) > 2000 {
		t.Errorf("pulled %s, %.3000v", pulled.ID, err)
	}
	isEmpty(t, s)
	for _, name := range blobsLeft(t, s) {
		if strings.HasSuffix(name, ".lock") {
			t.Errorf("left behind: %s", name)
		}
	}
}

// TestPullTooMuch pulls from a registry that sends manifests without an end, or of more layers than anybody can have.
func TestPullTooMuch(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	var sent atomic.Int64
	reg.breakWith(func(w http.ResponseWriter, req *http.Request) bool {
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

	img, _ := bigSample(t)
	m := img.parsed(t)
	for i := range 20_000 {
		m.Layers = append(m.Layers, descriptor(v1.MediaTypeImageLayerGzip, fmt.Append(nil, i)))
	}
	reg.breakWith(serveManifest(mustJSON(t, m)))
	checkRefused(t, reg, s)
}

// TestTagsHostile asks a registry for tags that has such as no image can have.
func TestTagsHostile(t *testing.T) {
	for _, tags := range []string{`["../x"]`, `["a b"]`, `["\u001b[31m"]`, `[""]`, `["-x"]`, `[1]`, `{}`} {
		reg, s := newRegistry(t), openStore(t)
		reg.breakWith(func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.HasSuffix(req.URL.Path, "/tags/list") {
				return false
			}
			fmt.Fprintf(w, `{"name": "app", "tags": %s}`, tags)
			return true
		})
		names, err := s.Tags(context.Background(), reg.host+"/app", RegistryOptions{})
		if len(names) > 0 || err != nil && strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: %q, %v", tags, names, err)
		}
	}
}

// TestCredentialsStayWithTheirRegistry pulls from a registry that wants a password and sends its client elsewhere for
// blobs.
func TestCredentialsStayWithTheirRegistry(t *testing.T) {
	img, big := bigSample(t)
	elsewhere := newListener(t, img.blobs[big])
	reg, s := newRegistry(t), openStore(t)
	reg.push(t, img, "app", "latest")
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:secret"))
	reg.breakWith(func(w http.ResponseWriter, req *http.Request) bool {
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
	opts := PullOptions{RegistryOptions: RegistryOptions{Credentials: Credentials{Username: "me", Password: "secret"}}}
	if _, err := s.Pull(context.Background(), reg.host+"/app", opts); err != nil {
		t.Fatal(err)
	}
	checkSample(t, s, img)
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
