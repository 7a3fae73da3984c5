package storetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// OpenStore opens a new store, which the test's end closes.
func OpenStore(t testing.TB) *layers.Store {
	t.Helper()
	dir := t.TempDir()
	return OpenStoreAt(t, dir)
}

// OpenStoreAt opens a store in a directory, which the test's end closes.
func OpenStoreAt(t testing.TB, dir string) *layers.Store {
	t.Helper()
	s, err := layers.Open(layers.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// RootfsTar is a small root filesystem with what plain files of one user cannot show.
func RootfsTar(t testing.TB, marker string) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range []struct {
		hdr  tar.Header
		body string
	}{
		{hdr: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}},
		{hdr: tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o755}},
		{hdr: tar.Header{Name: "./etc/shadow", Typeflag: tar.TypeReg, Mode: 0o640, Gid: 42}, body: "root:*:" + marker},
		{hdr: tar.Header{Name: "./etc/alias", Typeflag: tar.TypeLink, Linkname: "./etc/shadow", Mode: 0o640, Gid: 42}},
		{hdr: tar.Header{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755}},
		{hdr: tar.Header{Name: "./bin/su", Typeflag: tar.TypeReg, Mode: 0o4755}, body: strings.Repeat("su", 5000)},
		{hdr: tar.Header{Name: "./bin/sh", Typeflag: tar.TypeSymlink, Linkname: "dash", Mode: 0o777}},
		{hdr: tar.Header{Name: "./dev/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}},
	} {
		e.hdr.Size = int64(len(e.body))
		if err := tw.WriteHeader(&e.hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// MustImport imports RootfsTar under a name.
func MustImport(t testing.TB, s *layers.Store, name, marker string, changes ...string) *layers.Image {
	t.Helper()
	id, err := archive.Import(context.Background(), s, bytes.NewReader(RootfsTar(t, marker)),
		archive.ImportOptions{Name: name, Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Usage returns the number of files in the store and the sum of their sizes.
func Usage(t testing.TB, s *layers.Store) (files int, bytes int64) {
	t.Helper()
	err := filepath.WalkDir(s.Core().Root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && path != s.Core().Reserve() {
			bytes += info.Size()
		}
		files++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, bytes
}

// MustLoad loads an image under a name.
func MustLoad(t testing.TB, s *layers.Store, img *Sample, tags ...string) {
	t.Helper()
	path := WriteFile(t, DockerArchiveOf(t, []*Sample{img}, [][]string{tags}))
	if _, err := archive.Load(context.Background(), s, path, nil, archive.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TarSplitEntries returns how many entries the file with the headers of a layer's tar has.
func TarSplitEntries(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return 0
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Errorf("%s: %v", filepath.Base(path), err)
		return 0
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return strings.Count(string(text), "\n")
}

// ContainerID returns an id for a container.
func ContainerID(n int) string { return fmt.Sprintf("%064x", n) }

// StoreContent lists the records of containers and layers, and the layers that are on disk.
func StoreContent(t *testing.T, s *layers.Store) string {
	t.Helper()
	containers, err1 := s.Core().Lib.Containers()
	all, err2 := s.Core().Lib.Layers()
	onDisk, err3 := os.ReadDir(filepath.Join(s.Core().Layout.Home, "dir"))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, c := range containers {
		fmt.Fprintln(&text, "container", c.ID, c.Names)
	}
	for _, l := range all {
		fmt.Fprintln(&text, "layer", l.ID)
	}
	for _, e := range onDisk {
		fmt.Fprintln(&text, "on disk", e.Name())
	}
	return text.String()
}

// OpenPlainStore opens a store in dir, made without xattrs if plain.
func OpenPlainStore(t *testing.T, dir string, plain bool) *layers.Store {
	t.Helper()
	s, err := layers.Open(layers.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"),
		Plain: plain})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// WriteFile writes data to a new file and returns its path.
func WriteFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// CheckSample checks that an image of two layers is in the store as it was made.
func CheckSample(t *testing.T, s *layers.Store, img *Sample) {
	t.Helper()
	got, err := s.Image(context.Background(), img.ID())
	if err != nil {
		t.Error(err)
		return
	}
	if len(got.Layers) != len(img.Layers) || !slices.Equal(got.Config.Config.Cmd, []string{"/bin/sh"}) ||
		got.Docker.Healthcheck == nil ||
		got.Docker.Healthcheck.Interval != 5*time.Second || !got.Created.Equal(time.Unix(1_700_000_000, 0)) ||
		got.DockerVersion != "20.10.5" || got.Comment != "a comment" {
		t.Errorf("image %+v", got)
	}
	for i, layer := range got.Layers {
		if want := got.Config.RootFS.DiffIDs[i]; layer.DiffID != want || layer.Size != int64(len(img.Layers[i])) {
			t.Errorf("layer %d is %+v, want digest %s and %d bytes", i, layer, want, len(img.Layers[i]))
		}
	}
	lowers, err := s.Core().Layout.Chain(got.TopLayer)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := lowers.Lookup([]string{"etc", "alias"}); ok {
		t.Error("a file that the upper layer deletes is there")
	}
	if st, ok := lowers.Lookup([]string{"etc", "shadow"}); !ok || st.GID != 42 || st.Mode != unix.S_IFREG|0o640 {
		t.Errorf("etc/shadow is %+v, %v", st, ok)
	}
	if st, err := ReadStat(filepath.Join(lowers[0].Dir, "etc")); err != nil || st.Mode != unix.S_IFDIR|0o755 {
		t.Errorf("etc of the upper layer is %+v, %v", st, err)
	}
}

// LoadSamples brings images into a store under the given names.
func LoadSamples(t *testing.T, s *layers.Store, images []*Sample, tags [][]string) {
	t.Helper()
	if _, err := archive.Load(context.Background(), s, "-", bytes.NewReader(DockerArchiveOf(t, images, tags)),
		archive.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
}

// MustSave saves images and returns the archive.
func MustSave(t *testing.T, s *layers.Store, opts archive.SaveOptions, refs ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := archive.Save(context.Background(), s, &out, refs, opts); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TarFiles returns the files of a tar by name.
func TarFiles(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if hdr.Typeflag == tar.TypeDir {
			continue
		}
		if files[hdr.Name] != nil {
			t.Errorf("%s is there twice", hdr.Name)
		}
		if files[hdr.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

// MustImage returns the image that ref names.
func MustImage(t testing.TB, s *layers.Store, ref string) *layers.Image {
	t.Helper()
	img, err := s.Image(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// CheckContent checks that the store can give back each layer of an image byte for byte, and finds nothing wrong.
func CheckContent(t *testing.T, s *layers.Store, img *Sample) {
	t.Helper()
	got, err := s.Image(context.Background(), img.ID())
	if err != nil {
		t.Fatal(err)
	}
	for i, layer := range got.Layers {
		var content bytes.Buffer
		if err := s.Core().WriteLayer(&content, layer.ID, layer.DiffID); err != nil ||
			!bytes.Equal(content.Bytes(), img.Layers[i]) {
			t.Errorf("layer %d has %d bytes, not %d: %v", i, content.Len(), len(img.Layers[i]), err)
		}
	}
	if problems, err := upkeep.Check(context.Background(), s, upkeep.CheckOptions{Deep: true}); err != nil ||
		len(problems) > 0 {
		t.Errorf("check: %+v, %v", problems, err)
	}
}

// BlobOf is the digest of an image's nth layer as a registry has it.
func BlobOf(t *testing.T, img *Sample, n int) digest.Digest {
	t.Helper()
	return digest.FromBytes(Compress(t, img.Layers[n]))
}

// MakeDeep makes that many directories in each other below dir, each with a file.
func MakeDeep(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH, 0)
	for range depth {
		var next int
		if err == nil {
			err = unix.Mkdirat(fd, "d", 0o700)
		}
		if err == nil {
			next, err = unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o600)
		}
		if err == nil {
			unix.Close(next)
			next, err = unix.Openat(fd, "d", unix.O_PATH, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

// HoldLock locks a file as another process would.
func HoldLock(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	return file
}

// OnlyReader hides that a reader can do more than read.
type OnlyReader struct{ io.Reader }

// IsPlatformError tells whether an error is an imagename.PlatformError.
func IsPlatformError(err error) bool {
	var platform *imagename.PlatformError
	return errors.As(err, &platform) && errdefs.IsNotFound(err)
}

// ReadStat returns the owner, mode and device that a container sees of a file in a layer's tree.
func ReadStat(path string) (layerfmt.Stat, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return layerfmt.Stat{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	value := make([]byte, 256)
	n, err := unix.Lgetxattr(path, layerfmt.StatXattr, value)
	if errors.Is(err, unix.ENODATA) { // root's, with the mode on disk
		return layerfmt.Stat{Mode: st.Mode}, nil
	}
	if err != nil {
		return layerfmt.Stat{}, &os.PathError{Op: "read the owner of", Path: path, Err: err}
	}
	return layerfmt.Decode(string(value[:n]), st.Mode)
}
