package archive

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.podman.io/image/v5/docker/reference"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/progress"
)

// ArchiveFormat is the format of a file with images.
type ArchiveFormat string

// The formats that can be loaded and saved.
const (
	DockerArchive ArchiveFormat = "docker-archive" // of docker save
	OCIArchive    ArchiveFormat = "oci-archive"    // a tar of an image layout
)

// Compression is the compression of a stream.
type Compression string

// The compressions that can be written.
const (
	NoCompression Compression = "none"
	Gzip          Compression = "gzip"
	Zstd          Compression = "zstd"
)

// SaveOptions is how to save images.
type SaveOptions struct {
	// Format is DockerArchive unless set.
	Format ArchiveFormat
	// Compression is, for a docker-archive, that of the whole file, in which layers are always uncompressed; for an
	// oci-archive it is that of the layers. "" means none for the former and gzip for the latter.
	Compression Compression
	// Progress is told how much of all layers was written, uncompressed; nil is quiet.
	Progress progress.Func
	// Saved is called for each image when the archive is complete; nil is not.
	Saved func(*layers.Image)
}

// normalize fills in what is not set, and refuses unknown values.
func (o *SaveOptions) normalize() error {
	switch o.Format {
	case "":
		o.Format = DockerArchive
	case DockerArchive, OCIArchive:
	default:
		return fault.Errorf(errdefs.ErrInvalidArgument, "format %q: want %s or %s", o.Format, DockerArchive, OCIArchive)
	}
	switch o.Compression {
	case "":
		if o.Compression = NoCompression; o.Format == OCIArchive {
			o.Compression = Gzip
		}
	case NoCompression, Gzip, Zstd:
	default:
		return fault.Errorf(errdefs.ErrInvalidArgument, "compression %q: want %s, %s or %s", o.Compression,
			NoCompression, Gzip, Zstd)
	}
	return nil
}

// Save writes images to one archive, with their layers and histories and the names by which they are asked for. A name
// without a tag stands for all tags that it has; an id stands for the image without a name. Configurations are written
// as they are, so that the images keep their ids, and layers byte for byte as they came in.
func Save(ctx context.Context, s *layers.Store, w io.Writer, refs []string, opts SaveOptions) error {
	if err := opts.normalize(); err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	images, err := toSave(ctx, s, refs)
	if err != nil {
		return err
	}
	counted := &progress.Meter{To: opts.Progress, Total: sizeOf(images)}
	if opts.Format == OCIArchive {
		err = saveOCI(ctx, s, w, images, opts.Compression, counted)
	} else {
		err = saveDocker(ctx, s, w, images, opts.Compression, counted)
	}
	if err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	for _, image := range images {
		if opts.Saved != nil {
			opts.Saved(image.Image)
		}
	}
	return nil
}

// savedImage is an image with the names that it gets in an archive.
type savedImage struct {
	*layers.Image
	config []byte
	names  []reference.NamedTagged
}

func (i *savedImage) addName(name string) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return // this program gives no such name
	}
	tagged, ok := ref.(reference.NamedTagged)
	if ok && !slices.ContainsFunc(i.names,
		func(n reference.NamedTagged) bool { return n.String() == tagged.String() }) {
		i.names = append(i.names, tagged)
	}
}

// toSave finds the images, each once, in the order of refs.
func toSave(ctx context.Context, s *layers.Store, refs []string) ([]*savedImage, error) {
	var images []*savedImage
	known := map[string]*savedImage{}
	for _, ref := range refs {
		named, err := tagsOf(s, ref)
		if err != nil {
			return nil, err
		}
		if len(named) == 0 {
			named = map[string][]string{ref: nil}
		}
		for _, image := range slices.Sorted(maps.Keys(named)) {
			found, err := findSaved(ctx, s, image)
			if err != nil {
				return nil, err
			}
			if known[found.ID] == nil {
				images, known[found.ID] = append(images, found), found
			}
			for _, name := range named[image] {
				known[found.ID].addName(name)
			}
		}
	}
	return images, nil
}

// findSaved returns the image that ref names, without a name.
func findSaved(ctx context.Context, s *layers.Store, ref string) (*savedImage, error) {
	img, err := s.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	config, err := s.Core().Lib.ImageBigData(img.ID, core.ConfigKey(img.ID))
	if err != nil {
		return nil, fmt.Errorf("read the configuration of image %s: %w", ref, err)
	}
	return &savedImage{Image: img, config: config}, nil
}

// tagsOf returns the names that ref stands for, by the ids of their images. It returns none if ref is an id.
func tagsOf(s *layers.Store, ref string) (map[string][]string, error) {
	name, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, nil // an id
	}
	records, err := s.Core().Lib.Images()
	if err != nil {
		return nil, fmt.Errorf("look up image %q: %w", ref, err)
	}
	named := map[string][]string{}
	for _, r := range records {
		for _, have := range r.Names {
			if have == name.String() || reference.IsNameOnly(name) && imagename.Repository(have) == name.Name() {
				named[r.ID] = append(named[r.ID], have)
			}
		}
	}
	return named, nil
}

// compressor returns a writer that compresses what goes to w; closing it does not close w.
func compressor(w io.Writer, compression Compression) (io.WriteCloser, error) {
	switch compression {
	case Gzip:
		return gzip.NewWriter(w), nil
	case Zstd:
		return zstd.NewWriter(w)
	}
	return plainWriter{w}, nil
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// archiver writes an archive: each file once, all with the same owner, mode and time, so that the same images make the
// same archive.
type archiver struct {
	ctx  context.Context
	tw   *tar.Writer
	have map[string]bool
}

func newArchiver(ctx context.Context, w io.Writer) *archiver {
	return &archiver{ctx: ctx, tw: tar.NewWriter(w), have: map[string]bool{}}
}

// addDirs writes directories, the outer ones first. Readers that must make missing directories themselves try to give
// them to root.
func (a *archiver) addDirs(names ...string) error {
	for _, name := range names {
		hdr := &tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: time.Unix(0, 0),
			Format: tar.FormatPAX}
		if err := a.tw.WriteHeader(hdr); err != nil {
			return err
		}
	}
	return nil
}

// add writes a file of the given size, unless the archive has it already.
func (a *archiver) add(name string, size int64, content func(w io.Writer) error) error {
	if a.have[name] {
		return nil
	}
	a.have[name] = true
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: size, ModTime: time.Unix(0, 0),
		Format: tar.FormatPAX}
	if err := a.tw.WriteHeader(hdr); err != nil {
		return err
	}
	return content(ctxio.Writer(a.ctx, a.tw))
}

func (a *archiver) addBytes(name string, data []byte) error {
	return a.add(name, int64(len(data)), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func (a *archiver) addJSON(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return a.addBytes(name, data)
}

// dockerManifest is an image in the manifest of a docker-archive.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string // the undermost first
}

// saveDocker writes a docker-archive. It keeps nothing of the images in memory but their names.
func saveDocker(ctx context.Context, s *layers.Store, w io.Writer, images []*savedImage, compression Compression,
	counted *progress.Meter) error {
	out, err := compressor(w, compression)
	if err != nil {
		return err
	}
	a := newArchiver(ctx, out)
	var manifest []dockerManifest
	for _, img := range images {
		item := dockerManifest{Config: img.ID + ".json", RepoTags: []string{}, Layers: []string{}}
		for _, name := range img.names {
			item.RepoTags = append(item.RepoTags, reference.FamiliarString(name))
		}
		for _, layer := range img.Layers {
			name := layer.DiffID.Encoded() + ".tar"
			item.Layers = append(item.Layers, name)
			if err := a.add(name, layer.Size,
				func(w io.Writer) error {
					return s.Core().WriteLayer(counted.Writer(w), layer.ID,
						layer.DiffID)
				}); err != nil {
				return err
			}
		}
		if err := a.addBytes(item.Config, img.config); err != nil {
			return err
		}
		manifest = append(manifest, item)
	}
	if err := a.addJSON("manifest.json", manifest); err != nil {
		return err
	}
	return errors.Join(a.tw.Close(), out.Close())
}

// sizeOf returns the sum of the sizes of the layers in bytes. It counts each content once.
func sizeOf(images []*savedImage) (size int64) {
	seen := map[string]bool{}
	for _, img := range images {
		for _, layer := range img.Layers {
			if !seen[layer.DiffID.String()] {
				size += layer.Size
			}
			seen[layer.DiffID.String()] = true
		}
	}
	return size
}
