package tests

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

// hostile is what images, registries and containers say: it sets the title, clears the screen in two ways, forges a
// line and turns what follows around.
const hostile = "evil\x1b]0;title\x07\x1b[2J\u009b31m\x7f\r\nrcrun: all is well\u202e"

// safe tells whether a terminal takes text as text.
func (u *user) safe(what, text string) {
	u.t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' ||
			r == '\u202e'
	}) {
		u.t.Errorf("%s prints %q", what, text)
	}
	if strings.Contains(text, "\nrcrun: all is well") {
		u.t.Errorf("%s prints a line that is not of ours: %q", what, text)
	}
	if !strings.Contains(text, "evil") {
		u.t.Errorf("%s does not print the text that must be escaped: %q", what, text)
	}
}

// TestHostileRegistry has a registry refuse with such a message.
func TestHostileRegistry(t *testing.T) {
	u := newUser(t)
	body, err := json.Marshal(map[string]any{"errors": []any{map[string]any{"code": "DENIED", "message": hostile,
		"detail": hostile}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			w.Write(body)
		}
	}))
	defer server.Close()
	image := strings.TrimPrefix(server.URL, "http://") + "/image:1"
	r := u.try("pull", "--tls-verify=false", image)
	if r.code != 125 {
		t.Errorf("%s: exit code %d", r.command, r.code)
	}
	u.safe(r.command, r.stdout+r.stderr)
}

// TestHostileArguments has a union told of such names.
func TestHostileArguments(t *testing.T) {
	u := newUser(t)
	r := u.finish(u.command(overlayBinary, "--"+hostile, "-o", "lowerdir=/"+hostile, u.path("tmp")))
	if r.code != 1 || !strings.Contains(r.stderr, "unknown argument ignored: --evil") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	u.safe(r.command, r.stdout+r.stderr)
}

// TestHostileImage has such names in an image and a container, and looks at them in every way.
func TestHostileImage(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", busyboxTree(t), "-c", `CMD ["sh"]`)
	u.run("create", "--name", "c1", "-l", "x="+hostile, "-e", "X="+hostile, "-w", "/"+hostile, "bb", "echo", hostile)
	u.run("run", "--name", "c2", "bb", "sh", "-c", `echo >"$1"`, "sh", "/tmp/"+hostile)
	u.run("commit", "-m", hostile, "--author", hostile, "c1", "image")
	for _, args := range [][]string{
		{"ps", "-a", "--no-trunc"}, {"inspect", "c1"}, {"inspect", "image"}, {"diff", "c2"},
		{"ps", "-a", "--no-trunc", "--format", "json"}, {"history", "--no-trunc", "image"},
	} {
		r := u.try(args...)
		u.succeeded(r)
		u.safe(r.command, r.stdout+r.stderr)
	}
	for _, args := range [][]string{{"run", "--rm", "-u", hostile, "bb"}, {"run", "--rm", "bb", "/" + hostile},
		{"inspect", hostile}} {
		r := u.try(args...)
		if r.code == 0 {
			t.Errorf("%q succeeded", args)
		}
		u.safe(r.command, r.stdout+r.stderr)
	}
	// What programs read is as it was given.
	u.prints(hostile, "inspect", "-f", "{{.Config.Labels.x}}", "c1")
	var objects []struct {
		Config struct{ Labels map[string]string }
	}
	if err := json.Unmarshal([]byte(u.run("inspect", "c1")), &objects); err != nil ||
		objects[0].Config.Labels["x"] != hostile {
		t.Errorf("the label is %q, %v", objects[0].Config.Labels["x"], err)
	}
}

// TestHostileTemplate prints by templates to a terminal.
func TestHostileTemplate(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", busyboxTree(t), "-c", `CMD ["sh"]`)
	u.run("create", "--name", "c1", "-l", "x=a\x1b[2Jb", "bb")
	term := u.onTerminal("inspect", "-f", "{{.Config.Labels.x}}", "c1")
	term.expect(`a\x1b[2Jb`)
	term.wait()
	term = u.onTerminal("ps", "-a", "--format", `{{.Label "x"}}`)
	term.expect(`a\x1b[2Jb`)
	term.wait()
	term = u.onTerminal("inspect", "-f", "\x1b[1m{{.Config.Labels.x}}\x1b[0m", "c1")
	term.expect("\x1b[1ma\x1b[2Jb\x1b[0m")
	term.wait()
}

// TestHostileSizes pulls images whose layers have sizes that bound nothing.
func TestHostileSizes(t *testing.T) {
	u := newUser(t)
	layer := digest.FromString("whatever it is")
	sizes := map[string]int64{"unknown": -1, "negative": math.MinInt64, "huge": math.MaxInt64}
	var fetched atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, tag, isManifest := strings.Cut(r.URL.Path, "/manifests/")
		switch {
		case isManifest:
			w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
			json.NewEncoder(w).Encode(v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
				MediaType: v1.MediaTypeImageManifest,
				Config:    v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.FromString("{}"), Size: 2},
				Layers:    []v1.Descriptor{{MediaType: v1.MediaTypeImageLayer, Digest: layer, Size: sizes[tag]}}})
		case strings.HasSuffix(r.URL.Path, layer.String()):
			fetched.Add(1)
			w.Write(make([]byte, 1<<20))
		case strings.Contains(r.URL.Path, "/blobs/"):
			w.Write([]byte("{}"))
		}
	}))
	defer server.Close()
	for tag, size := range sizes {
		u.fails(125, []string{layer.String(), fmt.Sprint(size)}, "pull", "-q", "--tls-verify=false",
			strings.TrimPrefix(server.URL, "http://")+"/image:"+tag)
	}
	if n := fetched.Load(); n > 0 {
		t.Errorf("such layers were fetched %d times", n)
	}
}
