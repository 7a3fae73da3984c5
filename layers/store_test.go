package layers_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"go.podman.io/storage"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestImport(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "deb:12", "x", `CMD ["sh", "-l"]`, "ENV A=1 B='2 3'", "USER www-data",
		"WORKDIR /srv")
	if !slices.Equal(img.Names, []string{"docker.io/library/deb:12"}) ||
		!slices.Equal(img.RepoTags, []string{"deb:12"}) {
		t.Errorf("names %q, tags %q", img.Names, img.RepoTags)
	}
	c := img.Config.Config
	if !slices.Equal(c.Cmd, []string{"sh", "-l"}) || !slices.Equal(c.Env, []string{"A=1", "B=2 3"}) ||
		c.User != "www-data" || c.WorkingDir != "/srv" {
		t.Errorf("configuration %+v", c)
	}
	if len(img.Layers) != 1 || img.Layers[0].ID != img.TopLayer || len(img.Config.History) != 1 {
		t.Errorf("layers %+v, history %+v", img.Layers, img.Config.History)
	}
	if want := img.Config.RootFS.DiffIDs[0]; img.Layers[0].DiffID != want {
		t.Errorf("layer has digest %s, the configuration says %s", img.Layers[0].DiffID, want)
	}
	st, err := storetest.ReadStat(filepath.Join(s.Core().Layout.Diff(img.TopLayer), "etc/shadow"))
	if err != nil || st.GID != 42 || st.Mode != unix.S_IFREG|0o640 {
		t.Errorf("etc/shadow is %+v, %v", st, err)
	}
}

// TestImportCompressed checks that the layer does not depend on how the tar came.
func TestImportCompressed(t *testing.T) {
	s := storetest.OpenStore(t)
	plain := storetest.RootfsTar(t, "x")
	var gz, zs bytes.Buffer
	gw := gzip.NewWriter(&gz)
	zw, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{gw, zw} {
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := storetest.MustImport(t, s, "plain", "x").Layers[0].DiffID
	for name, data := range map[string][]byte{"gzip": gz.Bytes(), "zstd": zs.Bytes()} {
		id, err := archive.Import(context.Background(), s, bytes.NewReader(data), archive.ImportOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if img, err := s.Image(context.Background(), id); err != nil || img.Layers[0].DiffID != want {
			t.Errorf("%s: %+v, %v; want digest %s", name, img, err, want)
		}
	}
}

// TestImportBad checks that nothing is left of an import that fails.
func TestImportBad(t *testing.T) {
	s := storetest.OpenStore(t)
	storetest.MustImport(t, s, "before", "x")
	good := storetest.RootfsTar(t, "y")
	evil := bytes.Replace(good, []byte("./bin/su"), []byte("../bin/x"), 1)
	fixChecksums(evil)
	filesBefore, bytesBefore := storetest.Usage(t, s)
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		data []byte
		opts archive.ImportOptions
		want string
	}{
		{"nothing", nil, nil, archive.ImportOptions{}, "empty"},
		{"no tar", nil, []byte(strings.Repeat("no tar ", 1000)), archive.ImportOptions{}, "invalid tar header"},
		{"cut in an entry", nil, good[:len(good)-3000], archive.ImportOptions{}, "unexpected EOF"},
		{"cut between entries", nil, good[:len(good)-1024], archive.ImportOptions{}, "cut off"},
		{"leads out", nil, evil, archive.ImportOptions{}, `"../bin/x"`},
		{"bad name", nil, good, archive.ImportOptions{Name: "UPPER"}, "lowercase"},
		{"bad change", nil, good, archive.ImportOptions{Changes: []string{"RUN rm -rf /"}}, `"RUN rm -rf /"`},
		{"bad platform", nil, good, archive.ImportOptions{Platform: "sparks"}, "OS/ARCH"},
		{"canceled", canceled, good, archive.ImportOptions{}, "canceled"},
	} {
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		_, err := archive.Import(c.ctx, s, bytes.NewReader(c.data), c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if files, bytes := storetest.Usage(t, s); files != filesBefore || bytes > bytesBefore+1000 {
			t.Errorf("%s: the store has %d files of %d bytes, before it had %d of %d", c.name, files, bytes,
				filesBefore, bytesBefore)
		}
	}
	if images, err := s.Images(context.Background()); len(images) != 1 || err != nil {
		t.Errorf("images %+v, %v", images, err)
	}
}

// fixChecksums corrects the checksums of all headers of a tar.
func fixChecksums(data []byte) {
	for i := 0; i+512 <= len(data); i += 512 {
		block := data[i : i+512]
		if string(block[257:262]) != "ustar" {
			continue
		}
		copy(block[148:156], "        ")
		sum := 0
		for _, b := range block {
			sum += int(b)
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
}

// TestTarSplit checks that a layer comes out as the very tar that went in.
func TestTarSplit(t *testing.T) {
	s := storetest.OpenStore(t)
	data := append(storetest.RootfsTar(t, "x"), make([]byte, 7*512)...) // more zeros than an end needs
	id, err := archive.Import(context.Background(), s, bytes.NewReader(data), archive.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	diff, err := s.Core().Lib.Diff("", img.TopLayer, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(diff)
	if err := errors.Join(err, diff.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("the layer has %d bytes, other than the %d of the tar", len(got), len(data))
	}
	report, err := s.Core().Lib.Check(&storage.CheckOptions{LayerDigests: true, LayerData: true, ImageData: true})
	if err != nil || len(report.Layers)+len(report.Images) > 0 {
		t.Errorf("the library's check says %+v, %v", report, err)
	}
}

func TestImageLookup(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "registry.example:5000/team/app:v1", "x")
	if err := s.Core().Lib.AddNames(img.ID, []string{"docker.io/library/app:latest"}); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{
		"registry.example:5000/team/app:v1", "app", "app:latest", "docker.io/library/app", "library/app", img.ID,
		img.ID[:1],
		img.ID[:12], "sha256:" + img.ID, "sha256:" + img.ID[:6], "app@" + img.Digest.String(),
	} {
		if got, err := s.Image(context.Background(), ref); err != nil || got.ID != img.ID {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"", "app:v2", "team/app:v1", "ffff" + img.ID, "other@" + img.Digest.String(),
		"Bad Name", "../x",
		"app@sha256:" + img.ID} {
		if _, err := s.Image(context.Background(), ref); !errdefs.IsNotFound(err) {
			t.Errorf("%q: error %v, want one of the class not found", ref, err)
		}
	}
}

func TestAmbiguousID(t *testing.T) {
	s := storetest.OpenStore(t)
	var ids []string
	seen := map[byte]string{}
	for i := 0; ; i++ { // seventeen ids share a first digit somewhere
		id := storetest.MustImport(t, s, "", fmt.Sprint(i)).ID
		if other := seen[id[0]]; other != "" {
			ids = []string{id, other}
			break
		}
		seen[id[0]] = id
	}
	_, err := s.Image(context.Background(), ids[0][:1])
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), ids[0]) ||
		!strings.Contains(err.Error(), ids[1]) {
		t.Errorf("error %v, want one naming %v", err, ids)
	}
}

func TestNameMoves(t *testing.T) {
	s := storetest.OpenStore(t)
	old := storetest.MustImport(t, s, "app", "old")
	storetest.MustImport(t, s, "app", "new")
	got, err := s.Image(context.Background(), old.ID)
	if err != nil || len(got.Names) != 0 {
		t.Errorf("the older image has the names %v, %v", got.Names, err)
	}
	if images, err := s.Images(context.Background()); err != nil || len(images) != 2 ||
		images[0].RepoTags[0] != "app:latest" {
		t.Errorf("images %+v, %v", images, err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readonly := filepath.Join(dir, "ro")
	if err := os.Mkdir(readonly, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"", file, filepath.Join(file, "x"), readonly} {
		if root == readonly && os.Geteuid() == 0 {
			continue // root may write everywhere
		}
		s, err := layers.Open(layers.Options{Root: root, RunRoot: filepath.Join(dir, "run")})
		if err == nil {
			s.Close()
			t.Errorf("%q was opened", root)
		} else if !strings.Contains(err.Error(), root) {
			t.Errorf("%q: error %v does not name it", root, err)
		}
	}
}

// TestAbandonedWork checks that what a killed process leaves is removed when the store is opened again, and that what
// a living one works on stays.
func TestAbandonedWork(t *testing.T) {
	dir := t.TempDir()
	s := storetest.OpenStoreAt(t, dir)
	for _, root := range []string{s.Core().TempRoot(), s.Core().Layout.Staging()} {
		living, err := scratch.New(root)
		if err != nil {
			t.Fatal(err)
		}
		defer living.Close()
		dead, err := scratch.New(root)
		if err != nil {
			t.Fatal(err)
		}
		dead.Lock.Close()
		if err := os.WriteFile(filepath.Join(dead.Path, "part"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := scratch.Sweep(root); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(living.Path); err != nil {
			t.Errorf("work in progress: %v", err)
		}
		if _, err := os.Stat(dead.Path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("abandoned work: %v", err)
		}
	}
}

func TestParallelImports(t *testing.T) {
	s := storetest.OpenStore(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			data := storetest.RootfsTar(t, fmt.Sprint(i))
			if _, err := archive.Import(context.Background(), s, bytes.NewReader(data),
				archive.ImportOptions{Name: fmt.Sprintf("i%d", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if images, err := s.Images(context.Background()); len(images) != 8 || err != nil {
		t.Errorf("%d images, %v", len(images), err)
	}
}

// TestStoreRemembersDriver looks for the driver of a store that the library has made.
func TestStoreRemembersDriver(t *testing.T) {
	s := storetest.OpenStore(t)
	if s.Driver() != driver.Fuse {
		t.Errorf("the driver is %q", s.Driver())
	}
	if _, err := driver.Find(s.Core().Root, driver.VFS); err == nil {
		t.Error("another driver is taken for a store that has one")
	}
}
