package intake

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/progress"
)

// NewLayer is a layer of an image that comes in.
type NewLayer struct {
	Blob       types.BlobInfo
	diffID     digest.Digest
	parent, id string
	same       string // the id of a layer with the same content, if there is one
	there      bool   // the layer itself is in the store
}

// newLayers returns the layers of an image, the lowest first: those that are there and those that must be made. It
// leaves some layers to the library: all layers of an image that does not tell their digests, and, with other drivers
// than "fuse", all from the first layer on whose content is in the store above another parent.
func newLayers(s *layers.Store, c contents) (layers []NewLayer, err error) {
	if !c.tellsLayers() {
		return nil, nil
	}
	parent := ""
	for i, blob := range c.Layers {
		id := LayerID(parent, c.diffIDs[i])
		layer := NewLayer{Blob: blob, diffID: c.diffIDs[i], parent: parent, id: id}
		if _, err = s.Core().Lib.Layer(id); errors.Is(err, storage.ErrLayerUnknown) {
			layer.same, err = sameContent(s, c.diffIDs[i])
			if layer.same != "" && s.Core().DriverName != driver.Fuse || err != nil {
				return layers, err
			}
		} else if err != nil {
			return nil, err
		} else {
			layer.there = true
		}
		layers = append(layers, layer)
		parent = id
	}
	return layers, nil
}

// sameContent returns the id of a layer with the given content, "" if there is none.
func sameContent(s *layers.Store, diffID digest.Digest) (id string, err error) {
	same, err := s.Core().Lib.LayersByUncompressedDigest(diffID)
	if errors.Is(err, storage.ErrLayerUnknown) || err == nil && len(same) == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return same[0].ID, nil
}

// unpackLayers brings the layers of an image into the store in one pass each: a layer is decompressed, verified,
// unpacked and indexed while it is read. When the library copies the image, it finds the layers in the store. Alone it
// would copy each blob into a file, decompress it to learn its digest, and decompress the file again to unpack it.
func (t *Transfer) unpackLayers(ctx context.Context, in Incoming, c contents) (err error) {
	layers, err := newLayers(t.Store, c)
	if err != nil || len(layers) == 0 {
		return err
	}
	if in.Ahead != nil {
		stop := in.Ahead(ctx, slices.DeleteFunc(slices.Clone(layers),
			func(l NewLayer) bool { return l.there || l.same != "" }))
		defer stop()
	}
	source, err := in.Src.NewImageSource(ctx, t.Sys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for _, layer := range layers {
		state := progress.LayerExists
		switch {
		case layer.there:
		case layer.same != "":
			if err := reuse(t.Store, layer); err != nil {
				return fmt.Errorf("make layer %s of layer %s: %w", layer.id, layer.same, err)
			}
		default:
			if err := t.unpackLayer(ctx, in, source, layer); err != nil {
				return fmt.Errorf("unpack layer %s: %w", layer.diffID, err)
			}
			state = progress.LayerDone
		}
		in.Report.Layer(layer.Blob.Digest, state, 0, 0)
	}
	return nil
}

// tellsLayers tells whether an image says what its layers contain, by digests of the usual kind.
func (c contents) tellsLayers() bool {
	usual := func(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.Canonical }
	for i, layer := range c.Layers {
		if len(c.Layers) != len(c.diffIDs) || !usual(layer.Digest) || !usual(c.diffIDs[i]) {
			return false
		}
	}
	return true
}

// LayerID returns the id that the library gives to a layer with a content above a parent, "" for none.
func LayerID(parent string, diffID digest.Digest) string {
	if parent == "" {
		return diffID.Encoded()
	}
	return digest.FromString(parent + "+" + diffID.Encoded()).Encoded()
}

func (t *Transfer) unpackLayer(ctx context.Context, in Incoming, source types.ImageSource, layer NewLayer) error {
	blob := layer.Blob
	body, _, err := source.GetBlob(ctx, blob, none.NoCache)
	if err != nil {
		return err
	}
	defer body.Close()
	if in.Ahead == nil { // else the fetching is reported
		body = in.Report.Reader(blob.Digest, body, 0, blob.Size)
	}
	content, err := NewLayerReader(ctxio.Reader(ctx, body), blob, layer.diffID)
	if err != nil {
		return err
	}
	defer content.Close()
	options := &storage.LayerOptions{OriginalDigest: blob.Digest, UncompressedDigest: layer.diffID}
	if blob.Size >= 0 {
		options.OriginalSize = &blob.Size
	}
	_, _, err = t.Store.Core().Lib.PutLayer(layer.id, layer.parent, nil, "", false, options, content)
	if errors.Is(err, storage.ErrDuplicateID) {
		return nil // another process has made it at the same time
	}
	if err == nil && content.compression == archive.Gzip {
		err = rememberForm(t.Store, layer.id, compressedForm{blob.Digest, blob.Size})
	}
	return err
}

// layerReader reads the content of a layer from its blob. If the blob or the content does not match its digest, the
// last read returns an error instead of io.EOF, before anything made of them is put on record.
type layerReader struct {
	blob        countedReader // reading it feeds isBlob
	size        int64         // of the blob; -1 if it is not known
	plain       io.ReadCloser
	content     io.Reader // of plain, from its beginning
	compression archive.Compression
	// isBlob and isContent are the same if the blob is not compressed.
	isBlob, isContent digest.Verifier
}

// NewLayerReader returns a reader of the content of a layer, whose blob r has.
func NewLayerReader(r io.Reader, blob types.BlobInfo, diffID digest.Digest) (*layerReader, error) {
	l := &layerReader{size: blob.Size, isContent: diffID.Verifier()}
	l.isBlob = l.isContent
	if blob.Digest != diffID {
		l.isBlob = blob.Digest.Verifier()
		r = io.TeeReader(r, l.isBlob)
	}
	l.blob.r = r
	head := bufio.NewReader(&l.blob)
	start, err := head.Peek(10)
	if err != nil && err != io.EOF {
		return nil, err
	}
	l.compression = archive.DetectCompression(start)
	if l.plain, err = archive.DecompressStream(head); err != nil {
		return nil, err
	}
	start = make([]byte, 10)
	n, err := io.ReadFull(l.plain, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, errors.Join(err, l.plain.Close())
	}
	if archive.DetectCompression(start[:n]) != archive.Uncompressed {
		return nil, errors.Join(errors.New("its content is compressed twice"), l.plain.Close())
	}
	l.content = io.MultiReader(bytes.NewReader(start[:n]), l.plain)
	return l, nil
}

// Read reads content.
func (l *layerReader) Read(p []byte) (int, error) {
	n, err := l.content.Read(p)
	l.isContent.Write(p[:n])
	if err == io.EOF {
		if bad := l.verify(); bad != nil {
			err = bad
		}
	}
	return n, err
}

// verify checks the sizes and digests after everything was read.
func (l *layerReader) verify() error {
	if _, err := io.Copy(io.Discard, &l.blob); err != nil {
		return err
	}
	if l.size >= 0 && l.blob.n != l.size {
		return fault.Errorf(errdefs.ErrDataLoss, "the blob has %d bytes, not %d", l.blob.n, l.size)
	}
	if !l.isBlob.Verified() {
		return fault.Errorf(errdefs.ErrDataLoss, "the blob does not match its digest")
	}
	if !l.isContent.Verified() {
		return fault.Errorf(errdefs.ErrDataLoss, "the content does not match the digest in the image's configuration")
	}
	return nil
}

// Close ends decompressing.
func (l *layerReader) Close() error { return l.plain.Close() }

// countedReader counts what is read.
type countedReader struct {
	r io.Reader
	n int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
