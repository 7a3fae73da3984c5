package archive_test

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

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/progress"
)

func TestLoadDocker(t *testing.T) {
	base := storetest.RootfsTar(t, "x")
	one, two := storetest.NewSample(t, "amd64", base, storetest.PatchTar(t)),
		storetest.NewSample(t, "arm64", base, storetest.PatchTar(t))
	data := storetest.DockerArchiveOf(t, []*storetest.Sample{one, two},
		[][]string{{"one:1", "registry.example/one:latest"}, nil})
	for _, c := range []struct {
		name, path string
		stdin      []byte
	}{
		{"file", storetest.WriteFile(t, data), nil},
		{"compressed file", storetest.WriteFile(t, storetest.Compress(t, data)), nil},
		{"stdin", "-", data},
		{"compressed stdin", "-", storetest.Compress(t, data)},
	} {
		s := storetest.OpenStore(t)
		var seen storetest.Recorder
		loaded, err := archive.Load(context.Background(), s, c.path, bytes.NewReader(c.stdin),
			archive.LoadOptions{Progress: &seen})
		want := []string{"one:1", "registry.example/one:latest", "sha256:" + two.ID()}
		if err != nil || !slices.Equal(loaded, want) {
			t.Errorf("%s: loaded %q, %v; want %q", c.name, loaded, err, want)
			continue
		}
		storetest.CheckSample(t, s, one)
		storetest.CheckSample(t, s, two)
		if img, err := s.Image(context.Background(), "registry.example/one"); err != nil || img.ID != one.ID() {
			t.Errorf("%s: second name: %v", c.name, err)
		}
		if seen.Name != "sha256:"+two.ID() || seen.Count(progress.LayerExists) != 2 { // with those of the other image
			t.Errorf("%s: layers are %v", c.name, seen.States)
		}
		if left, err := os.ReadDir(s.Core().TempRoot()); err != nil || len(left) > 0 {
			t.Errorf("%s: left over: %v, %v", c.name, left, err)
		}
	}
}

func TestLoadOCI(t *testing.T) {
	base := storetest.RootfsTar(t, "x")
	one, two, three := storetest.NewSample(t, "amd64", base, storetest.PatchTar(t)),
		storetest.NewSample(t, "arm64", base, storetest.PatchTar(t)),
		storetest.NewSample(t, "riscv64", base, storetest.PatchTar(t))
	data := storetest.ArchiveOf(t, storetest.LayoutFiles(t, []*storetest.Sample{one, two, three}, []map[string]string{
		{v1.AnnotationRefName: "latest", storetest.ContainerdAnnotation: "docker.io/library/one:latest"},
		{v1.AnnotationRefName: "two:2"},
		{v1.AnnotationRefName: "three"},
	})...)
	s := storetest.OpenStore(t)
	loaded, err := archive.Load(context.Background(), s, "-", bytes.NewReader(storetest.Compress(t, data)),
		archive.LoadOptions{})
	if want := []string{"one:latest", "two:2", "sha256:" + three.ID()}; err != nil || !slices.Equal(loaded, want) {
		t.Fatalf("loaded %q, %v; want %q", loaded, err, want)
	}
	for _, img := range []*storetest.Sample{one, two, three} {
		storetest.CheckSample(t, s, img)
	}
	if img, err := s.Image(context.Background(), "two:2"); err != nil || img.Config.Architecture != "arm64" {
		t.Errorf("the image of another architecture: %+v, %v", img, err)
	}
}

// TestLoadSkopeo loads what the reference implementation writes.
func TestLoadSkopeo(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Fatalf("no skopeo, which scripts/setup installs: %v", err)
	}
	img := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
	layout := storetest.WriteFiles(t, storetest.LayoutFiles(t, []*storetest.Sample{img}, []map[string]string{nil}))
	for _, form := range []string{"docker-archive", "oci-archive"} {
		path := filepath.Join(t.TempDir(), "a.tar")
		out, err := exec.Command("skopeo", "--insecure-policy", "copy", "oci:"+layout,
			form+":"+path+":app:v1").CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo: %v: %s", err, out)
		}
		s := storetest.OpenStore(t)
		if loaded, err := archive.Load(context.Background(), s, path, nil, archive.LoadOptions{}); err != nil ||
			!slices.Equal(loaded, []string{"app:v1"}) {
			t.Errorf("%s: loaded %q, %v", form, loaded, err)
		}
	}
}

// TestLoadBad checks that nothing is left of a load that fails.
func TestLoadBad(t *testing.T) {
	good := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
	other := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "y"), storetest.PatchTar(t))
	forged := *good
	forged.Layers = other.Layers
	evil := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"),
		storetest.ArchiveOf(t, storetest.File{Name: "../../x", Data: []byte("bad")}))
	data := storetest.DockerArchiveOf(t, []*storetest.Sample{good}, [][]string{{"app"}})
	docker := storetest.DockerArchiveOf(t, []*storetest.Sample{good}, [][]string{{"app:1"}})
	incomplete := storetest.LayoutFiles(t, []*storetest.Sample{good}, []map[string]string{nil})
	for i, f := range incomplete {
		if bytes.Equal(f.Data, good.Config) {
			incomplete[i].Name += "x"
		}
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"nothing", "not an archive of images", nil},
		{"garbage", "not an archive of images", []byte(strings.Repeat("garbage ", 200))},
		{"root filesystem", "imported, not loaded", storetest.RootfsTar(t, "x")},
		{"no image in a docker-archive", "no image",
			storetest.ArchiveOf(t, storetest.File{Name: "manifest.json", Data: []byte("[]")})},
		{"no image in an oci-archive", "no image", storetest.ArchiveOf(t, storetest.LayoutFiles(t, nil, nil)...)},
		{"files outside of the archive", "passwd",
			storetest.ArchiveOf(t, storetest.File{Name: "manifest.json",
				Data: []byte(`[{"Config":"../../etc/passwd","RepoTags":["a:b"],"Layers":["/etc/passwd"]}]`)})},
		{"name without a tag", "tag", data},
		{"cut off", "EOF", docker[:len(docker)/2]},
		{"other layers than the configuration says", "",
			storetest.DockerArchiveOf(t, []*storetest.Sample{&forged}, [][]string{{"app:1"}})},
		{"layer that leads out", `"../../x"`,
			storetest.DockerArchiveOf(t, []*storetest.Sample{evil}, [][]string{{"app:1"}})},
		{"blob is missing", "", storetest.ArchiveOf(t, incomplete...)},
		{"broken index", "index of the image layout",
			storetest.ArchiveOf(t, storetest.File{Name: v1.ImageLayoutFile, Data: []byte("{}")},
				storetest.File{Name: v1.ImageIndexFile, Data: []byte(`{"manifests":`)})},
	} {
		s := storetest.OpenStore(t)
		path := storetest.WriteFile(t, c.data)
		_, err := archive.Load(context.Background(), s, path, nil, archive.LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with %q and the path", c.name, err, c.want)
		}
		if images, err := s.Images(context.Background()); len(images) > 0 || err != nil {
			t.Errorf("%s: images %+v, %v", c.name, images, err)
		}
		for _, dir := range []string{s.Core().TempRoot(), s.Core().Layout.Staging()} {
			if left, err := os.ReadDir(dir); err != nil && !os.IsNotExist(err) || len(left) > 0 {
				t.Errorf("%s: left over: %v, %v", c.name, left, err)
			}
		}
	}
	if _, err := archive.Load(context.Background(), storetest.OpenStore(t), "/nonexistent/a.tar", nil,
		archive.LoadOptions{}); !os.IsNotExist(err) && !strings.Contains(err.Error(), "/nonexistent/a.tar") {
		t.Errorf("missing file: %v", err)
	}
}

// TestLoadFalseDigest loads an image that is in the store already under a name with the digest of something else.
func TestLoadFalseDigest(t *testing.T) {
	img := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"))
	s := storetest.OpenStore(t)
	own := "docker.io/library/app@" + core.Descriptor(v1.MediaTypeImageManifest, img.Manifest).Digest.String()
	for _, name := range []string{"docker.io/library/app:1", "docker.io/library/debian@sha256:" + img.ID(), own} {
		data := storetest.ArchiveOf(t, storetest.LayoutFiles(t, []*storetest.Sample{img},
			[]map[string]string{{storetest.ContainerdAnnotation: name}})...)
		if _, err := archive.Load(context.Background(), s, "-", bytes.NewReader(data),
			archive.LoadOptions{}); err != nil {
			t.Errorf("load as %s: %v", name, err)
		}
	}
	if got, err := s.Image(context.Background(), own); err != nil ||
		strings.Contains(strings.Join(got.RepoDigests, " "), "debian") {
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
	base := storetest.RootfsTar(t, "x")
	one, two := storetest.NewSample(t, "amd64", base), storetest.NewSample(t, "amd64", base, storetest.PatchTar(t))
	s := storetest.OpenStore(t)
	if _, err := archive.Load(context.Background(), s, "-",
		bytes.NewReader(storetest.DockerArchiveOf(t, []*storetest.Sample{one}, [][]string{{"one:1"}})),
		archive.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	layout, err := ocilayout.NewReference(storetest.WriteFiles(t,
		storetest.LayoutFiles(t, []*storetest.Sample{two}, []map[string]string{nil})), "")
	if err != nil {
		t.Fatal(err)
	}
	transfer, err := intake.NewTransfer(context.Background(), s, "")
	if err != nil {
		t.Fatal(err)
	}
	hooked := hookedReference{layout, new(sync.Once), func() {
		if _, err := s.RemoveImage(context.Background(), "one:1", layers.RemoveOptions{}); err != nil {
			t.Error(err)
		}
	}}
	if err := archive.LoadReference(context.Background(), transfer, hooked); err != nil {
		t.Error(err)
	}
	if err := transfer.Close(); err != nil {
		t.Error(err)
	}
	storetest.CheckSample(t, s, two)
}

// TestLoadNameLikeID loads an image under a name by which another one might be asked for.
func TestLoadNameLikeID(t *testing.T) {
	img := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"))
	for form, data := range map[string][]byte{
		"docker-archive": storetest.DockerArchiveOf(t, []*storetest.Sample{img}, [][]string{{"sha256:0123456789ab"}}),
		"oci-archive": storetest.ArchiveOf(t,
			storetest.LayoutFiles(t, []*storetest.Sample{img},
				[]map[string]string{{storetest.ContainerdAnnotation: "sha256:0123456789ab"}})...),
	} {
		s := storetest.OpenStore(t)
		loaded, err := archive.Load(context.Background(), s, "-", bytes.NewReader(data), archive.LoadOptions{})
		if err != nil || !slices.Equal(loaded, []string{"sha256:" + img.ID()}) {
			t.Errorf("%s: loaded %q, %v", form, loaded, err)
		}
	}
}

// TestLoadAgain loads an image whose layers are no longer on record: it works again.
func TestLoadAgain(t *testing.T) {
	img := storetest.NewSample(t, "amd64", storetest.RootfsTar(t, "x"), storetest.PatchTar(t))
	data := storetest.DockerArchiveOf(t, []*storetest.Sample{img}, [][]string{{"app:1"}})
	s := storetest.OpenStore(t)
	for range 2 {
		if _, err := archive.Load(context.Background(), s, "-", bytes.NewReader(data),
			archive.LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		storetest.CheckSample(t, s, img)
		if err := os.WriteFile(filepath.Join(s.Core().RecordDir(core.LayerRecords), core.LayerRecords+".json"),
			[]byte("[]"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Core().Forget(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenURLHidesPassword(t *testing.T) {
	_, _, err := archive.OpenURL(context.Background(), storetest.OpenStore(t), "http://me:secret@127.0.0.1:1/x")
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "127.0.0.1:1/x") {
		t.Errorf("error %v", err)
	}
}
