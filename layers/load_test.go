package layers

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	ocilayout "go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"
)

func TestLoadDocker(t *testing.T) {
	base := rootfsTar(t, "x")
	one, two := newSample(t, "amd64", base, patchTar(t)), newSample(t, "arm64", base, patchTar(t))
	data := dockerArchiveOf(t, []*sample{one, two}, [][]string{{"one:1", "registry.example/one:latest"}, nil})
	for _, c := range []struct {
		name, path string
		stdin      []byte
	}{
		{"file", writeFile(t, data), nil},
		{"compressed file", writeFile(t, compress(t, data)), nil},
		{"stdin", "-", data},
		{"compressed stdin", "-", compress(t, data)},
	} {
		s := openStore(t)
		var progress recorder
		loaded, err := s.Load(context.Background(), c.path, bytes.NewReader(c.stdin), LoadOptions{Progress: &progress})
		want := []string{"one:1", "registry.example/one:latest", "sha256:" + two.id()}
		if err != nil || !slices.Equal(loaded, want) {
			t.Errorf("%s: loaded %q, %v; want %q", c.name, loaded, err, want)
			continue
		}
		checkSample(t, s, one)
		checkSample(t, s, two)
		if img, err := s.Image("registry.example/one"); err != nil || img.ID != one.id() {
			t.Errorf("%s: second name: %v", c.name, err)
		}
		if progress.name != "sha256:"+two.id() || progress.count(LayerExists) != 2 { // with those of the other image
			t.Errorf("%s: layers are %v", c.name, progress.states)
		}
		if left, err := os.ReadDir(s.tempRoot()); err != nil || len(left) > 0 {
			t.Errorf("%s: left over: %v, %v", c.name, left, err)
		}
	}
}

func TestLoadOCI(t *testing.T) {
	base := rootfsTar(t, "x")
	one, two, three := newSample(t, "amd64", base, patchTar(t)), newSample(t, "arm64", base, patchTar(t)), newSample(t, "riscv64", base, patchTar(t))
	data := archiveOf(t, layoutFiles(t, []*sample{one, two, three}, []map[string]string{
		{v1.AnnotationRefName: "latest", containerdAnnotation: "docker.io/library/one:latest"},
		{v1.AnnotationRefName: "two:2"},
		{v1.AnnotationRefName: "three"},
	})...)
	s := openStore(t)
	loaded, err := s.Load(context.Background(), "-", bytes.NewReader(compress(t, data)), LoadOptions{})
	if want := []string{"one:latest", "two:2", "sha256:" + three.id()}; err != nil || !slices.Equal(loaded, want) {
		t.Fatalf("loaded %q, %v; want %q", loaded, err, want)
	}
	for _, img := range []*sample{one, two, three} {
		checkSample(t, s, img)
	}
	if img, err := s.Image("two:2"); err != nil || img.Config.Architecture != "arm64" {
		t.Errorf("the image of another architecture: %+v, %v", img, err)
	}
}

// TestLoadSkopeo loads what the reference implementation writes.
func TestLoadSkopeo(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed")
	}
	img := newSample(t, "amd64", rootfsTar(t, "x"), patchTar(t))
	layout := writeFiles(t, layoutFiles(t, []*sample{img}, []map[string]string{nil}))
	for _, form := range []string{"docker-archive", "oci-archive"} {
		path := filepath.Join(t.TempDir(), "a.tar")
		out, err := exec.Command("skopeo", "--insecure-policy", "copy", "oci:"+layout, form+":"+path+":app:v1").CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo: %v: %s", err, out)
		}
		s := openStore(t)
		if loaded, err := s.Load(context.Background(), path, nil, LoadOptions{}); err != nil || !slices.Equal(loaded, []string{"app:v1"}) {
			t.Errorf("%s: loaded %q, %v", form, loaded, err)
		}
	}
}

// TestLoadBad checks that nothing is left of a load that fails.
func TestLoadBad(t *testing.T) {
	good := newSample(t, "amd64", rootfsTar(t, "x"), patchTar(t))
	other := newSample(t, "amd64", rootfsTar(t, "y"), patchTar(t))
	forged := *good
	forged.layers = other.layers
	evil := newSample(t, "amd64", rootfsTar(t, "x"), archiveOf(t, file{"../../x", []byte("bad")}))
	data := dockerArchiveOf(t, []*sample{good}, [][]string{{"app"}})
	docker := dockerArchiveOf(t, []*sample{good}, [][]string{{"app:1"}})
	incomplete := layoutFiles(t, []*sample{good}, []map[string]string{nil})
	for i, f := range incomplete {
		if bytes.Equal(f.data, good.config) {
			incomplete[i].name += "x"
		}
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"nothing", "not an archive of images", nil},
		{"garbage", "not an archive of images", []byte(strings.Repeat("garbage ", 200))},
		{"root filesystem", "imported, not loaded", rootfsTar(t, "x")},
		{"no image in a docker-archive", "no image", archiveOf(t, file{"manifest.json", []byte("[]")})},
		{"no image in an oci-archive", "no image", archiveOf(t, layoutFiles(t, nil, nil)...)},
		{"files outside of the archive", "passwd", archiveOf(t, file{"manifest.json",
			[]byte(`[{"Config":"../../etc/passwd","RepoTags":["a:b"],"Layers":["/etc/passwd"]}]`)})},
		{"name without a tag", "tag", data},
		{"cut off", "EOF", docker[:len(docker)/2]},
		{"other layers than the configuration says", "", dockerArchiveOf(t, []*sample{&forged}, [][]string{{"app:1"}})},
		{"layer that leads out", `"../../x"`, dockerArchiveOf(t, []*sample{evil}, [][]string{{"app:1"}})},
		{"blob is missing", "", archiveOf(t, incomplete...)},
		{"broken index", "index of the image layout", archiveOf(t, file{v1.ImageLayoutFile, []byte("{}")}, file{v1.ImageIndexFile, []byte(`{"manifests":`)})},
	} {
		s := openStore(t)
		path := writeFile(t, c.data)
		_, err := s.Load(context.Background(), path, nil, LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with %q and the path", c.name, err, c.want)
		}
		if images, err := s.Images(); len(images) > 0 || err != nil {
			t.Errorf("%s: images %+v, %v", c.name, images, err)
		}
		for _, dir := range []string{s.tempRoot(), s.layout.staging()} {
			if left, err := os.ReadDir(dir); err != nil && !os.IsNotExist(err) || len(left) > 0 {
				t.Errorf("%s: left over: %v, %v", c.name, left, err)
			}
		}
	}
	if _, err := openStore(t).Load(context.Background(), "/nonexistent/a.tar", nil, LoadOptions{}); !os.IsNotExist(err) && !strings.Contains(err.Error(), "/nonexistent/a.tar") {
		t.Errorf("missing file: %v", err)
	}
}

// TestLoadFalseDigest loads an image that is in the store already under a name with the digest of something else.
func TestLoadFalseDigest(t *testing.T) {
	img := newSample(t, "amd64", rootfsTar(t, "x"))
	s := openStore(t)
	own := "docker.io/library/app@" + descriptor(v1.MediaTypeImageManifest, img.manifest).Digest.String()
	for _, name := range []string{"docker.io/library/app:1", "docker.io/library/debian@sha256:" + img.id(), own} {
		data := archiveOf(t, layoutFiles(t, []*sample{img}, []map[string]string{{containerdAnnotation: name}})...)
		if _, err := s.Load(context.Background(), "-", bytes.NewReader(data), LoadOptions{}); err != nil {
			t.Errorf("load as %s: %v", name, err)
		}
	}
	if got, err := s.Image(own); err != nil || strings.Contains(strings.Join(got.RepoDigests, " "), "debian") {
		t.Errorf("image %+v, %v", got, err)
	}
}

// hookedReference calls hook once, before the blobs of the image are asked for.
type hookedReference struct {
	types.ImageReference
	hook *sync.Once
	do   func()
}

func (r hookedReference) NewImageSource(ctx context.Context, sys *types.SystemContext) (types.ImageSource, error) {
	r.hook.Do(r.do)
	return r.ImageReference.NewImageSource(ctx, sys)
}

// TestLoadWhileRemoved removes the only image with the lower layer of another one while that is loaded.
func TestLoadWhileRemoved(t *testing.T) {
	base := rootfsTar(t, "x")
	one, two := newSample(t, "amd64", base), newSample(t, "amd64", base, patchTar(t))
	s := openStore(t)
	if _, err := s.Load(context.Background(), "-", bytes.NewReader(dockerArchiveOf(t, []*sample{one}, [][]string{{"one:1"}})), LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	layout, err := ocilayout.NewReference(writeFiles(t, layoutFiles(t, []*sample{two}, []map[string]string{nil})), "")
	if err != nil {
		t.Fatal(err)
	}
	transfer, err := s.newTransfer("")
	if err != nil {
		t.Fatal(err)
	}
	hooked := hookedReference{layout, new(sync.Once), func() {
		if _, err := s.RemoveImage("one:1", RemoveOptions{}); err != nil {
			t.Error(err)
		}
	}}
	if err := loadReference(context.Background(), transfer, hooked); err != nil {
		t.Error(err)
	}
	if err := transfer.close(); err != nil {
		t.Error(err)
	}
	checkSample(t, s, two)
}

// TestLoadNameLikeID loads an image under a name by which another one might be asked for.
func TestLoadNameLikeID(t *testing.T) {
	img := newSample(t, "amd64", rootfsTar(t, "x"))
	for form, data := range map[string][]byte{
		"docker-archive": dockerArchiveOf(t, []*sample{img}, [][]string{{"sha256:0123456789ab"}}),
		"oci-archive":    archiveOf(t, layoutFiles(t, []*sample{img}, []map[string]string{{containerdAnnotation: "sha256:0123456789ab"}})...),
	} {
		s := openStore(t)
		loaded, err := s.Load(context.Background(), "-", bytes.NewReader(data), LoadOptions{})
		if err != nil || !slices.Equal(loaded, []string{"sha256:" + img.id()}) {
			t.Errorf("%s: loaded %q, %v", form, loaded, err)
		}
	}
}

// TestLoadAgain loads an image whose layers are no longer on record: it works again.
func TestLoadAgain(t *testing.T) {
	img := newSample(t, "amd64", rootfsTar(t, "x"), patchTar(t))
	data := dockerArchiveOf(t, []*sample{img}, [][]string{{"app:1"}})
	s := openStore(t)
	for range 2 {
		if _, err := s.Load(context.Background(), "-", bytes.NewReader(data), LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		checkSample(t, s, img)
		if err := os.WriteFile(filepath.Join(s.recordDir(layerRecords), layerRecords+".json"), []byte("[]"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.forget(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenURLHidesPassword(t *testing.T) {
	_, _, err := openStore(t).OpenURL(context.Background(), "http://me:secret@127.0.0.1:1/x")
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "127.0.0.1:1/x") {
		t.Errorf("error %v", err)
	}
}
