package tests

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// get asks a plain registry for a path below /v2/.
func (r *registryServer) get(t *testing.T, path string) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+r.host+"/v2/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Add("Accept", v1.MediaTypeImageManifest)
	req.Header.Add("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", path, resp.Status, err)
	}
	return body
}

// TestPushOutput holds what push prints to what docker prints, and looks at what arrives.
func TestPushOutput(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	u.setenv("PATH", "/nonexistent") // no helper program is needed
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	repository := server.host + "/team/app"
	name := repository + ":v1"
	u.run("tag", "app:v1", name)
	u.run("tag", "app:v1", repository+":v2")
	hidden := regexp.MustCompile(`[0-9a-f]{64}|(?m:^[0-9a-f]{12}:)|size: \d+`)
	push := func(args ...string) string {
		t.Helper()
		return hidden.ReplaceAllString(u.run(append([]string{"push"}, args...)...), "X")
	}
	const digestLine = "digest: sha256:X X"
	header := "The push refers to repository [" + repository + "]\n"
	if got, want := push(name), header+"X Pushed\nX Pushed\nv1: "+digestLine; got != want {
		t.Errorf("push printed\n%s\nwant\n%s", got, want)
	}
	again := header + "X Layer already exists\nX Layer already exists\n"
	if got, want := push("--all-tags", repository), again+"v1: "+digestLine+"\n"+again+"v2: "+digestLine; got != want {
		t.Errorf("push --all-tags printed\n%s\nwant\n%s", got, want)
	}
	u.prints(server.host+"/other:latest", "push", "-q", "app:v1", server.host+"/other")

	u.fails(125, []string{"no image"}, "push", "-q", server.host+"/missing")
	u.fails(125, []string{"push the image by a name"}, "push", "-q", p.id(t))
	u.fails(125, []string{"push to a tag"}, "push", "-q", name, repository+"@"+p.id(t))
	u.fails(125, []string{"connection refused"}, "push", "-q", name, "127.0.0.1:1/app")
	server.hasPicture(t, "team/app", "v2", p)
}

// hasPicture checks that an image in the registry is a configuration and layers, and nothing but what it was made of.
func (r *registryServer) hasPicture(t *testing.T, repository, tag string, p picture) {
	t.Helper()
	var m v1.Manifest
	if err := json.Unmarshal(r.get(t, repository+"/manifests/"+tag), &m); err != nil {
		t.Fatal(err)
	}
	if m.Config.Digest.String() != p.id(t) || len(m.Layers) != len(p.layers) {
		t.Fatalf("pushed the manifest %+v", m)
	}
	for i, layer := range m.Layers {
		if !strings.HasSuffix(layer.MediaType, "gzip") {
			t.Errorf("layer %d has the media type %s", i, layer.MediaType)
		}
		compressed := r.get(t, repository+"/blobs/"+layer.Digest.String())
		unpacked, err := gzip.NewReader(strings.NewReader(string(compressed)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := digest.FromReader(unpacked); err != nil || got != p.config.RootFS.DiffIDs[i] {
			t.Errorf("layer %d has the content %s, %v; want %s", i, got, err, p.config.RootFS.DiffIDs[i])
		}
	}
}

// TestPushInterchange lets everybody pull what the others pushed: it is the same image.
func TestPushInterchange(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	name := server.host + "/app"
	u.run("push", "-q", "app:v1", name+":rcrun")
	elsewhere := func(args ...string) string {
		t.Helper()
		return u.run(append([]string{"--root", u.path("home", "elsewhere")}, args...)...)
	}
	if got := elsewhere("pull", "-q", name+":rcrun"); got != p.id(t) {
		t.Errorf("pulled %s elsewhere, want %s", got, p.id(t))
	}

	defer u.removePodman()
	if got := u.podman("pull", "-q", "--tls-verify=false", name+":rcrun"); "sha256:"+got != p.id(t) {
		t.Errorf("podman pulled %s, want %s", got, p.id(t))
	}
	u.podman("push", "-q", "--tls-verify=false", name+":rcrun", name+":podman")
	layout := u.path("home", "layout")
	skopeo := func(from, to string) {
		t.Helper()
		u.succeeded(u.finish(u.command("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false",
			"--dest-tls-verify=false", from, to)))
	}
	skopeo("docker://"+name+":rcrun", "oci:"+layout+":app")
	skopeo("oci:"+layout+":app", "docker://"+name+":skopeo")
	elsewhere("rmi", name+":rcrun")
	for _, tag := range []string{":podman", ":skopeo"} {
		got := elsewhere("pull", "-q", name+tag)
		if tag == ":podman" && got != p.id(t) { // skopeo writes another configuration into an OCI image
			t.Errorf("%s: pulled %s, want %s", tag, got, p.id(t))
		}
		if got := elsewhere("run", "--rm", name+tag, "ls", "/home/alice"); got != "only" {
			t.Errorf("%s has %q", tag, got)
		}
	}
}
