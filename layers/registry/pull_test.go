package registry_test

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

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/progress"
	"github.com/rcrun/rcrun/layers/registry"
)

func TestPull(t *testing.T) {
	reg := storetest.NewRegistry(t)
	base := storetest.RootfsTar(t, "x")
	one, two := storetest.NewSample(t, "amd64", base, storetest.PatchTar(t)),
		storetest.NewSample(t, "arm64", base, storetest.PatchTar(t))
	reg.Push(t, one, "team/one", "latest")
	reg.Push(t, two, "team/two", "v2")
	s := storetest.OpenStore(t)
	var seen storetest.Recorder
	img, err := registry.Pull(context.Background(), s, reg.Host+"/team/one", registry.PullOptions{Progress: &seen})
	if err != nil {
		t.Fatal(err)
	}
	if img.ID != one.ID() || img.RepoTags[0] != reg.Host+"/team/one:latest" ||
		img.Digest != digest.FromBytes(one.Manifest) || img.UpToDate {
		t.Errorf("image %+v", img)
	}
	if img.Name != reg.Host+"/team/one:latest" || img.RepoDigest != img.Digest || seen.Count(progress.LayerDone) != 2 {
		t.Errorf("image %+v, progress %v", img, seen.States)
	}
	storetest.CheckSample(t, s, one)
	baseBlob := digest.FromBytes(storetest.Compress(t, base)).String()
	if n := reg.Fetched[baseBlob]; n != 1 {
		t.Errorf("the first layer was fetched %d times", n)
	}
	if img, err = registry.Pull(context.Background(), s, reg.Host+"/team/two:v2", registry.PullOptions{}); err != nil ||
		img.Config.Architecture != "arm64" {
		t.Errorf("an image for another architecture: %+v, %v", img, err)
	}
	storetest.CheckSample(t, s, two)
	if n := reg.Fetched[baseBlob]; n != 1 {
		t.Errorf("the layer that both images have was fetched %d times", n)
	}
	if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers are stored, %v; want 2", len(layers), err)
	}
	ref := reg.Host + "/team/one@" + digest.FromBytes(one.Manifest).String()
	if img, err = registry.Pull(context.Background(), s, ref, registry.PullOptions{}); err != nil ||
		img.ID != one.ID() {
		t.Errorf("by digest: %+v, %v", img, err)
	}
	if found, err := s.Image(context.Background(), ref); err != nil || found.ID != one.ID() {
		t.Errorf("look up by digest: %v", err)
	}
	for i, want := range []string{ref, reg.Host + "/team/one:latest"} {
		steps, err := s.RemoveImage(context.Background(), want, layers.RemoveOptions{})
		if err != nil || len(steps) == 0 || steps[0].Untagged != want || (len(steps) > 1) != (i == 1) {
			t.Errorf("remove %s: %+v, %v", want, steps, err)
		}
	}
	storetest.CheckSample(t, s, two)
}

// TestPullReproduces checks that the layers of a pulled image come out with the digests that its configuration names.
func TestPullReproduces(t *testing.T) {
	reg := storetest.NewRegistry(t)
	img := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
	reg.Push(t, img, "app", "latest")
	s := storetest.OpenStore(t)
	pulled, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	plain := archive.Uncompressed
	for i, layer := range pulled.Layers {
		diff, err := s.Core().Lib.Diff("", layer.ID, &storage.DiffOptions{Compression: &plain})
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
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	base := storetest.RootfsTar(t, "x")
	for _, program := range []string{"gzip", "zstd", "bzip2", "xz", "cat"} {
		cmd := exec.Command(program)
		cmd.Stdin = bytes.NewReader(base)
		compressed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		img := storetest.NewSample(t, program, base) // the architecture makes the images differ
		m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
		m.Config = core.Descriptor(v1.MediaTypeImageConfig, img.Config)
		m.Layers = []v1.Descriptor{img.AddBlob(v1.MediaTypeImageLayer, compressed)}
		img.Manifest = storetest.MustJSON(t, m)
		reg.Push(t, img, program, "latest")
		pulled, err := registry.Pull(context.Background(), s, reg.Host+"/"+program, registry.PullOptions{})
		if err != nil {
			t.Errorf("%s: %v", program, err)
		} else if pulled.ID != img.ID() || len(pulled.Layers) != 1 ||
			pulled.Layers[0].DiffID != digest.FromBytes(base) {
			t.Errorf("%s: pulled %+v", program, pulled.Image)
		}
	}
	if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 1 {
		t.Errorf("%d layers are stored, %v; want 1", len(layers), err)
	}
}

// TestPullWrongLayer pulls an image whose configuration is about other layers than its manifest.
func TestPullWrongLayer(t *testing.T) {
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	img, other := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x")),
		storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "y"))
	img.Config = other.Config
	var m v1.Manifest
	if err := json.Unmarshal(img.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	m.Config = img.AddBlob(v1.MediaTypeImageConfig, other.Config)
	img.Manifest = storetest.MustJSON(t, m)
	reg.Push(t, img, "app", "latest")
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/app", registry.PullOptions{}); err == nil ||
		!strings.Contains(err.Error(), "configuration") {
		t.Errorf("error %v", err)
	}
	storetest.IsEmpty(t, s)
}

func TestPullPlatform(t *testing.T) {
	reg := storetest.NewRegistry(t)
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	images := map[string]*storetest.Sample{}
	for _, arch := range []string{"amd64", "arm64", "riscv64", "s390x"} {
		img := storetest.NewSample(t, arch, storetest.RootfsTar(t, arch))
		reg.Push(t, img, "multi", "")
		d := core.Descriptor(v1.MediaTypeImageManifest, img.Manifest)
		d.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, d)
		images[arch] = img
	}
	reg.Put(t, "/v2/multi/manifests/latest", v1.MediaTypeImageIndex, storetest.MustJSON(t, index))
	s := storetest.OpenStore(t)
	for _, arch := range []string{"arm64", "s390x"} {
		img, err := registry.Pull(context.Background(), s, reg.Host+"/multi",
			registry.PullOptions{Platform: "linux/" + arch})
		if err != nil || img.ID != images[arch].ID() || img.Config.Architecture != arch {
			t.Errorf("%s: %+v, %v", arch, img, err)
		}
	}
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/multi",
		registry.PullOptions{Platform: "linux/mips"}); err == nil {
		t.Error("an architecture that the image does not have was pulled")
	}
}

// TestPullMovesNames pulls images that are there already, under names and digests by which they were not known.
func TestPullMovesNames(t *testing.T) {
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	one, two := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "1")),
		storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "2"))
	ref := reg.Host + "/app:v1"
	for i, img := range []*storetest.Sample{one, two, one, one} {
		reg.Push(t, img, "app", "v1")
		pulled, err := registry.Pull(context.Background(), s, ref, registry.PullOptions{})
		if err != nil || pulled.ID != img.ID() || pulled.UpToDate != (i == 3) {
			t.Errorf("pull %d: %+v, %v", i, pulled, err)
		}
		if found, err := s.Image(context.Background(), ref); err != nil || found.ID != img.ID() {
			t.Errorf("pull %d: the name is that of %+v, %v", i, found, err)
		}
	}
	if other, err := s.Image(context.Background(), two.ID()); err != nil || len(other.Names) != 0 {
		t.Errorf("the other image is %+v, %v", other, err)
	}
	d := core.Descriptor(v1.MediaTypeImageManifest, one.Manifest)
	d.Platform = &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	list := storetest.MustJSON(t, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{d}})
	reg.Put(t, "/v2/app/manifests/list", v1.MediaTypeImageIndex, list)
	pulled, err := registry.Pull(context.Background(), s, reg.Host+"/app:list", registry.PullOptions{})
	if err != nil || pulled.ID != one.ID() || pulled.RepoDigest != digest.FromBytes(list) {
		t.Errorf("by a list: %+v, %v", pulled, err)
	}
	if found, err := s.Image(context.Background(), reg.Host+"/app@"+digest.FromBytes(list).String()); err != nil ||
		found.ID != one.ID() {
		t.Errorf("by the digest of the list: %+v, %v", found, err)
	}
}

func TestPullBad(t *testing.T) {
	reg := storetest.NewRegistry(t)
	evil := storetest.NewSample(t, "amd64", storetest.ArchiveOf(t,
		storetest.File{Name: "../../x", Data: []byte("bad")}))
	reg.Push(t, evil, "evil", "latest")
	good := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"))
	reg.Push(t, good, "good", "latest")
	s := storetest.OpenStore(t)
	yes := true
	for _, c := range []struct {
		ref, want string
		opts      registry.PullOptions
	}{
		{reg.Host + "/none", "none", registry.PullOptions{}},
		{reg.Host + "/good:v9", "v9", registry.PullOptions{}},
		{reg.Host + "/evil", `"../../x"`, registry.PullOptions{}},
		{"127.0.0.1:1/app", "refused", registry.PullOptions{}},
		{"Bad Name", "Bad Name", registry.PullOptions{}},
		{reg.Host + "/good", "", registry.PullOptions{Options: registry.Options{TLSVerify: &yes}}},
		{reg.Host + "/good", "OS/ARCH", registry.PullOptions{Platform: "x"}},
	} {
		_, err := registry.Pull(context.Background(), s, c.ref, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.ref) {
			t.Errorf("%s: error %v, want one with %q and the name", c.ref, err, c.want)
		}
	}
	if images, err := s.Images(context.Background()); len(images) > 0 || err != nil {
		t.Errorf("images %+v, %v", images, err)
	}
	if layers, err := s.Core().Lib.Layers(); len(layers) > 0 || err != nil {
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
		if _, err := registry.Pull(context.Background(), storetest.OpenStoreAt(t, os.Getenv("LAYERS_TEST_STORE")), ref,
			registry.PullOptions{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	reg := storetest.NewRegistry(t)
	base := storetest.RootfsTar(t, strings.Repeat("x", 1<<20))
	one, two := storetest.NewSample(t, "amd64", base, storetest.PatchTar(t)),
		storetest.NewSample(t, "arm64", base, storetest.PatchTar(t))
	reg.Push(t, one, "one", "latest")
	reg.Push(t, two, "two", "latest")
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name := []string{"/one", "/two"}[i%2]
			if out, err := pullProcess(dir, reg.Host+name).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	s := storetest.OpenStoreAt(t, dir)
	storetest.CheckSample(t, s, one)
	storetest.CheckSample(t, s, two)
	if layers, err := s.Core().Lib.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers are stored, %v; want 2", len(layers), err)
	}
	for name, n := range reg.Fetched {
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
		if got := registry.IsLoopback(domain); got != want {
			t.Errorf("%s: %v", domain, got)
		}
	}
}
