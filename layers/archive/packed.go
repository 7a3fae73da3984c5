package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/tree"
)

// The library reads an image layout from a directory. If the layout is in an archive, this file writes only its small
// files into a directory: the index, manifests and configurations. Layers are read where they are, so that nothing is
// written twice.

// maxExtracted bounds the files of a layout that are written out. Layers of any size to speak of are larger, everything
// else is smaller.
const maxExtracted = 1 << 20

// packedBlobs are blobs that lie in an archive.
type packedBlobs map[digest.Digest]*io.SectionReader

// unpackLayout writes out the files of an image layout, and nothing else that the archive may hold. It returns the
// large blobs instead of writing them. The files together have no more bytes than the archive, because a sparse entry
// of a few blocks could fill the disk.
func unpackLayout(ctx context.Context, file *os.File, dir string) (packedBlobs, error) {
	left, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	packed := packedBlobs{}
	for tr := tar.NewReader(file); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return packed, nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		name := path.Clean(hdr.Name)
		if hdr.Typeflag != tar.TypeReg || !isLayoutFile(name) {
			continue
		}
		if left -= hdr.Size; left < 0 {
			return nil, fmt.Errorf("extract %q: %w: it has more bytes than the archive", hdr.Name, tree.ErrTooLarge)
		}
		if packed.keep(file, hdr, name) {
			continue
		}
		if err := extractFile(root, name, ctxio.Reader(ctx, tr)); err != nil {
			return nil, fmt.Errorf("extract %q: %w", hdr.Name, err)
		}
	}
}

// keep notes where the content of an entry is, if it is a large blob. The file's position is where the content begins.
func (p packedBlobs) keep(file *os.File, hdr *tar.Header, name string) bool {
	algorithm, encoded, _ := strings.Cut(strings.TrimPrefix(name, v1.ImageBlobsDir+"/"), "/")
	blob := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	if blob.Validate() != nil {
		return false
	}
	delete(p, blob) // of an earlier entry of the same name
	at, err := file.Seek(0, io.SeekCurrent)
	if hdr.Size <= maxExtracted || tree.IsSparse(hdr) || err != nil {
		return false
	}
	p[blob] = io.NewSectionReader(file, at, hdr.Size)
	return true
}

func isLayoutFile(name string) bool {
	return name == v1.ImageLayoutFile || name == v1.ImageIndexFile || strings.HasPrefix(name, v1.ImageBlobsDir+"/")
}

func extractFile(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// packedReference is an image of a layout that has some of its blobs in an archive.
type packedReference struct {
	types.ImageReference
	packed packedBlobs
}

// NewImageSource opens the image.
func (r packedReference) NewImageSource(ctx context.Context, sys *types.SystemContext) (types.ImageSource, error) {
	src, err := r.ImageReference.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return packedSource{src, r.packed}, nil
}

// NewImage opens the image of the platform that is wanted.
func (r packedReference) NewImage(ctx context.Context, sys *types.SystemContext) (types.ImageCloser, error) {
	return intake.NewImage(ctx, sys, r)
}

type packedSource struct {
	types.ImageSource
	packed packedBlobs
}

// GetBlob returns a blob, which is not verified yet.
func (s packedSource) GetBlob(ctx context.Context, blob types.BlobInfo, cache types.BlobInfoCache) (io.ReadCloser,
	int64, error) {
	content := s.packed[blob.Digest]
	if content == nil {
		return s.ImageSource.GetBlob(ctx, blob, cache)
	}
	return io.NopCloser(io.NewSectionReader(content, 0, content.Size())), content.Size(), nil
}
