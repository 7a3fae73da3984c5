package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/reference"
	ocilayout "go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/archive"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/progress"
	"github.com/rcrun/rcrun/layers/tree"
)

// LoadOptions is how to load an archive of images.
type LoadOptions struct {
	// Progress is told how far the load of each image is; nil is quiet.
	Progress progress.Reporter
	// Copied is told how much of the archive was copied. Load copies an archive that is compressed or comes from a
	// pipe.
	Copied progress.Func
}

// containerdName is the annotation that holds the whole name of an image in the archives of docker and containerd.
const containerdName = "io.containerd.image.name"

// Load brings in the images of a docker-archive or oci-archive, compressed or not, or of an image layout in a
// directory; it tells them apart by their content. Of an image for several platforms it takes the host's. For the path
// "-" it reads r. It returns the names of the images, or "sha256:ID" for images without a name.
func Load(ctx context.Context, s *layers.Store, path string, r io.Reader, opts LoadOptions) (loaded []string,
	err error) {
	t, err := intake.NewTransfer(ctx, s, "")
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	defer func() {
		if err = errors.Join(err, t.Close()); err != nil {
			err = fmt.Errorf("load %s: %w", path, err)
		}
	}()
	l := &loading{t, opts}
	if isDir(path) {
		loaded, err = l.loadLayout(ctx, path, nil)
	} else {
		loaded, err = l.loadArchive(ctx, path, r)
	}
	if err == nil && len(loaded) == 0 {
		err = fault.Errorf(errdefs.ErrInvalidArgument, "it holds no image")
	}
	return loaded, err
}

// loading is one Load.
type loading struct {
	t    *intake.Transfer
	opts LoadOptions
}

// isDir tells whether path is a directory. "-" never is.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return path != "-" && err == nil && info.IsDir()
}

func (l *loading) loadArchive(ctx context.Context, path string, r io.Reader) ([]string, error) {
	file, err := l.plainArchive(ctx, path, r)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	kind, err := archiveKind(file)
	if err != nil {
		return nil, err
	}
	if kind == DockerArchive {
		return l.loadDocker(ctx, file.Name())
	}
	dir := filepath.Join(l.t.Scratch.Path, "layout")
	packed, err := unpackLayout(ctx, file, dir)
	if err != nil {
		return nil, err
	}
	return l.loadLayout(ctx, dir, packed)
}

// copyBuffer is how much is copied at once.
const copyBuffer = 1 << 20

// plainArchive returns the archive as an uncompressed file: itself if it is one, else a copy.
func (l *loading) plainArchive(ctx context.Context, path string, r io.Reader) (*os.File, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		if isPlainFile(file) {
			return file, nil
		}
		defer file.Close()
		r = file
	}
	plain, err := archive.DecompressStream(ctxio.Reader(ctx, r))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	defer plain.Close()
	counted := &progress.Meter{To: l.opts.Copied}
	file, err := os.Create(filepath.Join(l.t.Scratch.Path, "archive.tar"))
	if err != nil {
		return nil, err
	}
	if err := copyAtMost(file, counted.Reader(plain), l.t.Store.Core().Limits.OrDefaults().Bytes); err != nil {
		file.Close()
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return file, nil
}

// copyAtMost copies to an empty file, and fails if there are more bytes than limit. Zeros become holes, because an
// archive has the holes of the files in its layers as zeros.
func copyAtMost(file *os.File, r io.Reader, limit int64) error {
	n, err := filecopy.Fill(int(file.Fd()), io.LimitReader(r, limit), make([]byte, copyBuffer))
	if err != nil || n < limit {
		return err
	}
	if n, _ := io.ReadFull(r, make([]byte, 1)); n > 0 {
		return fmt.Errorf("%w: the archive has more than %d bytes", tree.ErrTooLarge, limit)
	}
	return nil
}

// isPlainFile tells whether a file can be read at any place and is not compressed.
func isPlainFile(file *os.File) bool {
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	head := make([]byte, 16)
	n, err := file.ReadAt(head, 0)
	return (err == nil || err == io.EOF) && archive.DetectCompression(head[:n]) == archive.Uncompressed
}

// archiveKind looks at the names in an archive. If the archive is of both kinds, as newer versions of docker write it,
// it is read as a docker-archive, which has all names of the images.
func archiveKind(file *os.File) (ArchiveFormat, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	oci := false
	for tr := tar.NewReader(file); ; {
		hdr, err := tr.Next()
		switch {
		case err == io.EOF && oci:
			return OCIArchive, nil
		case err == io.EOF:
			return "", fault.Errorf(errdefs.ErrInvalidArgument,
				"not an archive of images: it has neither a manifest.json nor an oci-layout "+
					"(a plain root filesystem is imported, not loaded)")
		case err != nil:
			return "", fault.Errorf(errdefs.ErrInvalidArgument, "not an archive of images: %w", err)
		}
		switch path.Clean(hdr.Name) {
		case "manifest.json":
			return DockerArchive, nil
		case v1.ImageLayoutFile:
			oci = true
		}
	}
}

func (l *loading) loadDocker(ctx context.Context, file string) (loaded []string, err error) {
	r, err := dockerarchive.NewReader(l.t.Sys, file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	images, err := r.List()
	if err != nil {
		return nil, err
	}
	for _, refs := range images {
		var names []reference.Named
		for _, ref := range refs {
			if name := ref.DockerReference(); name != nil && !imagename.ReadsLikeID(name) {
				names = append(names, name)
			}
		}
		if loaded, err = l.loadOne(ctx, refs[0], names, loaded); err != nil {
			return loaded, err
		}
	}
	return loaded, nil
}

// loadOne brings in an image and appends its names to loaded.
func (l *loading) loadOne(ctx context.Context, src types.ImageReference, names []reference.Named,
	loaded []string) ([]string, error) {
	id, err := intake.WhileRemoved(func() (string, error) { return l.bring(ctx, src, names) })
	if err != nil {
		return loaded, err
	}
	for _, name := range names {
		loaded = append(loaded, reference.FamiliarString(name))
	}
	if len(names) == 0 {
		loaded = append(loaded, "sha256:"+id)
	}
	return loaded, nil
}

// bring copies an image unless it is there, and gives it its names.
func (l *loading) bring(ctx context.Context, src types.ImageReference, names []reference.Named) (id string, err error) {
	var first reference.Named
	var full []string
	for _, name := range names {
		full = append(full, name.String())
	}
	if len(names) > 0 {
		first = names[0]
	}
	if err := l.t.Ask(ctx, src); err != nil {
		return "", err
	}
	report := progress.NewReport(l.opts.Progress)
	if id, err = l.present(ctx, src, first, report); id == "" && err == nil {
		id, err = l.t.Take(ctx, intake.Incoming{Src: src, Name: first, Policy: l.t.Policy, Report: report})
	}
	if err != nil {
		return "", err
	}
	report.Finish()
	return id, l.t.Store.Core().Lib.AddNames(id, full)
}

// present begins the report and returns the id of the image if it is in the store. An image that was made here has
// other layers than the library would give it, so that the library refuses to copy it.
func (l *loading) present(ctx context.Context, src types.ImageReference, name reference.Named,
	report *progress.Report) (id string, err error) {
	contents, err := l.t.Describe(ctx, src)
	if err != nil {
		return "", err
	}
	var blobs []digest.Digest
	for _, layer := range contents.Layers {
		blobs = append(blobs, layer.Digest)
	}
	label := digest.NewDigestFromEncoded(digest.Canonical, contents.ID).String()
	if name != nil {
		label = reference.FamiliarString(name)
	}
	report.Begin(label, blobs)
	record, err := l.t.Store.Core().Lib.Image(contents.ID)
	if core.IsMissing(err) || err == nil && !intake.HasLayers(l.t.Store, record) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, blob := range blobs {
		report.Layer(blob, progress.LayerExists, 0, 0)
	}
	return record.ID, nil
}

// loadLayout copies the images of an image layout. packed are the blobs that lie in an archive and not in the
// directory.
func (l *loading) loadLayout(ctx context.Context, dir string, packed packedBlobs) (loaded []string, err error) {
	images, err := ocilayout.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read the index of the image layout: %w", err)
	}
	for _, img := range images {
		if intake.IsAttestation(img.ManifestDescriptor) {
			continue
		}
		var names []reference.Named
		if name := annotatedName(img.ManifestDescriptor); name != nil {
			names = append(names, name)
		}
		ref, err := l.t.Choose(ctx, packedReference{img.Reference, packed})
		if err != nil {
			return loaded, err
		}
		if loaded, err = l.loadOne(ctx, ref, names, loaded); err != nil {
			return loaded, err
		}
	}
	return loaded, nil
}

// annotatedName returns the name of an image in an index, nil if it has none. The standard annotation often holds the
// tag alone, which is not a name. A name with the digest of something else is ignored: it would pass the image off as
// that.
func annotatedName(image v1.Descriptor) reference.Named {
	text := image.Annotations[containerdName]
	if text == "" {
		text = image.Annotations[v1.AnnotationRefName]
		if !strings.ContainsAny(text, "/:") {
			return nil
		}
	}
	name, err := imagename.Parse(text)
	if err != nil || imagename.ReadsLikeID(name) {
		return nil
	}
	if digested, ok := name.(reference.Digested); ok && digested.Digest() != image.Digest {
		return nil
	}
	return name
}
