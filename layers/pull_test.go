package layers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"
)

func TestPull(t *testing.T) {
	reg := newRegistry(t)
	base := rootfsTar(t, "x")
	one, two := newSample(t, "amd64", base, patchTar(t)), newSample(t, "arm64", base, patchTar(t))
	reg.push(t, one, "team/one", "latest")
	reg.push(t, two, "team/two", "v2")
	s := openStore(t)
	var progress recorder
	img, err := s.Pull(context.Background(), reg.host+"/team/one", PullOptions{Progress: &progress})
	if err != nil {
		t.Fatal(err)
	}
	if img.ID != one.id() || img.RepoTags[0] != reg.host+"/team/one:latest" || img.Digest != digest.FromBytes(one.manifest) || img.UpToDate {
		t.Errorf("image %+v", img)
	}
	if img.Name != reg.host+"/team/one:latest" || img.RepoDigest != img.Digest || progress.count(LayerDone) != 2 {
		t.Errorf("image %+v, progress %v", img, progress.states)
	}
	checkSample(t, s, one)
	baseBlob := digest.FromBytes(compress(t, base)).String()
	if n := reg.fetched[baseBlob]; n != 1 {
		t.Errorf("the first layer was fetched %d times", n)
	}
	if img, err = s.Pull(context.Background(), reg.host+"/team/two:v2", PullOptions{}); err != nil || img.Config.Architecture != "arm64" {
		t.Errorf("an image for another architecture: %+v, %v", img, err)
	}
	checkSample(t, s, two)
	if n := reg.fetched[baseBlob]; n != 1 {
		t.Errorf("the layer that both images have was fetched %d times", n)
	}
	if layers, err := s.lib.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers are stored, %v; want 2", len(layers), err)
	}
	ref := reg.host + "/team/one@" + digest.FromBytes(one.manifest).String()
	if img, err = s.Pull(context.Background(), ref, PullOptions{}); err != nil || img.ID != one.id() {
		t.Errorf("by digest: %+v, %v", img, err)
	}
	if found, err := s.Image(ref); err != nil || found.ID != one.id() {
		t.Errorf("look up by digest: %v", err)
	}
	for i, want := range []string{ref, reg.host + "/team/one:latest"} {
		steps, err := s.RemoveImage(want, RemoveOptions{})
		if err != nil || len(steps) == 0 || steps[0].Untagged != want || (len(steps) > 1) != (i == 1) {
			t.Errorf("remove %s: %+v, %v", want, steps, err)
		}
	}
	checkSample(t, s, two)
}

// TestPullReproduces checks that the layers of a pulled image come out with the digests that its configuration names.
func TestPullReproduces(t *testing.T) {
	reg := newRegistry(t)
	img := newSample(t, "amd64", rootfsTar(t, "x"), patchTar(t))
	reg.push(t, img, "app", "latest")
	s := openStore(t)
	pulled, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	plain := archive.Uncompressed
	for i, layer := range pulled.Layers {
		diff, err := s.lib.Diff("", layer.ID, &storage.DiffOptions{Compression: &plain})
		if err != nil {
			t.Fatal(err)
		}
		got, err := digest.FromReader(diff)
		if err := errors.Join(err, diff.Close()); err != nil {
			t.Fatal(err)
		}
		if want := pulled.Config.RootFS.DiffIDs[i]; got != want {
			t.Errorf("layer %d has the digest %s, want %s", i, got, want)
		}
	}
}

// TestPullCompressions pulls one layer in all compressions, none of which the manifest tells: it is one layer.
func TestPullCompressions(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	base := rootfsTar(t, "x")
	for _, program := range []string{"gzip", "zstd", "bzip2", "xz", "cat"} {
		cmd := exec.Command(program)
		cmd.Stdin = bytes.NewReader(base)
		compressed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		img := newSample(t, program, base) // the architecture makes the images differ
		m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
		m.Config = descriptor(v1.MediaTypeImageConfig, img.config)
		m.Layers = []v1.Descriptor{img.addBlob(v1.MediaTypeImageLayer, compressed)}
		img.manifest = mustJSON(t, m)
		reg.push(t, img, program, "latest")
		pulled, err := s.Pull(context.Background(), reg.host+"/"+program, PullOptions{})
		if err != nil {
			t.Errorf("%s: %v", program, err)
		} else if pulled.ID != img.id() || len(pulled.Layers) != 1 || pulled.Layers[0].DiffID != digest.FromBytes(base) {
			t.Errorf("%s: pulled %+v", program, pulled.Image)
		}
	}
	if layers, err := s.lib.Layers(); err != nil || len(layers) != 1 {
		t.Errorf("%d layers are stored, %v; want 1", len(layers), err)
	}
}

// TestPullWrongLayer pulls an image whose configuration is about other layers than its manifest.
func TestPullWrongLayer(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	img, other := newSample(t, "amd64", rootfsTar(t, "x")), newSample(t, "amd64", rootfsTar(t, "y"))
	img.config = other.config
	var m v1.Manifest
	if err := json.Unmarshal(img.manifest, &m); err != nil {
		t.Fatal(err)
	}
	m.Config = img.addBlob(v1.MediaTypeImageConfig, other.config)
	img.manifest = mustJSON(t, m)
	reg.push(t, img, "app", "latest")
	if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err == nil || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("error %v", err)
	}
	isEmpty(t, s)
}

func TestPullPlatform(t *testing.T) {
	reg := newRegistry(t)
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	images := map[string]*sample{}
	for _, arch := range []string{"amd64", "arm64", "riscv64", "s390x"} {
		img := newSample(t, arch, rootfsTar(t, arch))
		reg.push(t, img, "multi", "")
		d := descriptor(v1.MediaTypeImageManifest, img.manifest)
		d.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, d)
		images[arch] = img
	}
	reg.put(t, "/v2/multi/manifests/latest", v1.MediaTypeImageIndex, mustJSON(t, index))
	s := openStore(t)
	for _, arch := range []string{"arm64", "s390x"} {
		img, err := s.Pull(context.Background(), reg.host+"/multi", PullOptions{Platform: "linux/" + arch})
		if err != nil || img.ID != images[arch].id() || img.Config.Architecture != arch {
			t.Errorf("%s: %+v, %v", arch, img, err)
		}
	}
	if _, err := s.Pull(context.Background(), reg.host+"/multi", PullOptions{Platform: "linux/mips"}); err == nil {
		t.Error("an architecture that the image does not have was pulled")
	}
}

// TestPullMovesNames pulls images that are there already, under names and digests by which they were not known.
func TestPullMovesNames(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	one, two := newSample(t, "amd64", rootfsTar(t, "1")), newSample(t, "amd64", rootfsTar(t, "2"))
	ref := reg.host + "/app:v1"
	for i, img := range []*sample{one, two, one, one} {
		reg.push(t, img, "app", "v1")
		pulled, err := s.Pull(context.Background(), ref, PullOptions{})
		if err != nil || pulled.ID != img.id() || pulled.UpToDate != (i == 3) {
			t.Errorf("pull %d: %+v, %v", i, pulled, err)
		}
		if found, err := s.Image(ref); err != nil || found.ID != img.id() {
			t.Errorf("pull %d: the name is that of %+v, %v", i, found, err)
		}
	}
	if other, err := s.Image(two.id()); err != nil || len(other.Names) != 0 {
		t.Errorf("the other image is %+v, %v", other, err)
	}
	d := descriptor(v1.MediaTypeImageManifest, one.manifest)
	d.Platform = &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	list := mustJSON(t, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{d}})
	reg.put(t, "/v2/app/manifests/list", v1.MediaTypeImageIndex, list)
	pulled, err := s.Pull(context.Background(), reg.host+"/app:list", PullOptions{})
	if err != nil || pulled.ID != one.id() || pulled.RepoDigest != digest.FromBytes(list) {
		t.Errorf("by a list: %+v, %v", pulled, err)
	}
	if found, err := s.Image(reg.host + "/app@" + digest.FromBytes(list).String()); err != nil || found.ID != one.id() {
		t.Errorf("by the digest of the list: %+v, %v", found, err)
	}
}

func TestPullBad(t *testing.T) {
	reg := newRegistry(t)
	evil := newSample(t, "amd64", archiveOf(t, file{"../../x", []byte("bad")}))
	reg.push(t, evil, "evil", "latest")
	good := newSample(t, "amd64", rootfsTar(t, "x"))
	reg.push(t, good, "good", "latest")
	s := openStore(t)
	yes := true
	for _, c := range []struct {
		ref, want string
		opts      PullOptions
	}{
		{reg.host + "/none", "none", PullOptions{}},
		{reg.host + "/good:v9", "v9", PullOptions{}},
		{reg.host + "/evil", `"../../x"`, PullOptions{}},
		{"127.0.0.1:1/app", "refused", PullOptions{}},
		{"Bad Name", "Bad Name", PullOptions{}},
		{reg.host + "/good", "", PullOptions{RegistryOptions: RegistryOptions{TLSVerify: &yes}}},
		{reg.host + "/good", "OS/ARCH", PullOptions{Platform: "x"}},
	} {
		_, err := s.Pull(context.Background(), c.ref, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.ref) {
			t.Errorf("%s: error %v, want one with %q and the name", c.ref, err, c.want)
		}
	}
	if images, err := s.Images(); len(images) > 0 || err != nil {
		t.Errorf("images %+v, %v", images, err)
	}
	if layers, err := s.lib.Layers(); len(layers) > 0 || err != nil {
		t.Errorf("layers %+v, %v", layers, err)
	}
}

// pullProcess is a process that pulls into a store, by TestParallelPulls.
func pullProcess(dir, ref string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestParallelPulls$")
	cmd.Env = append(os.Environ(), "LAYERS_TEST_STORE="+dir, "LAYERS_TEST_PULL="+ref)
	return cmd
}

// TestParallelPulls pulls images that share their layers with several processes at once.
func TestParallelPulls(t *testing.T) {
	if ref := os.Getenv("LAYERS_TEST_PULL"); ref != "" {
		if _, err := openStoreAt(t, os.Getenv("LAYERS_TEST_STORE")).Pull(context.Background(), ref, PullOptions{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	reg := newRegistry(t)
	base := rootfsTar(t, strings.Repeat("x", 1<<20))
	one, two := newSample(t, "amd64", base, patchTar(t)), newSample(t, "arm64", base, patchTar(t))
	reg.push(t, one, "one", "latest")
	reg.push(t, two, "two", "latest")
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name := []string{"/one", "/two"}[i%2]
			if out, err := pullProcess(dir, reg.host+name).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	s := openStoreAt(t, dir)
	checkSample(t, s, one)
	checkSample(t, s, two)
	if layers, err := s.lib.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers are stored, %v; want 2", len(layers), err)
	}
	for name, n := range reg.fetched {
		if strings.HasPrefix(name, "sha256:") && n != 1 {
			t.Errorf("%s was fetched %d times", name, n)
		}
	}
}

func TestLoopback(t *testing.T) {
	for domain, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1:80": true, "127.9.9.9": true, "[::1]:5000": true,
		"docker.io": false, "10.0.0.1:5000": false, "127.0.0.1.example.org": false, "localhost.example.org:5000": false,
	} {
		if got := isLoopback(domain); got != want {
			t.Errorf("%s: %v", domain, got)
		}
	}
}
