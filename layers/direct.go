package layers

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

	"github.com/rcrun/rcrun/internal/fault"
)

// newLayer is a layer of an image that comes in.
type newLayer struct {
	blob       types.BlobInfo
	diffID     digest.Digest
	parent, id string
	same       string // a layer with the same content, if there is one
	there      bool   // says that the layer itself is
}

// newLayers returns the layers of an image, the lowest first, those that are there and those that are to be made. It
// leaves to the library what the image does not tell enough about, and with other drivers than ours all from a layer
// on whose content is there above another parent: the library takes it from there.
func (s *Store) newLayers(c contents) (layers []newLayer, err error) {
	if !c.tellsLayers() {
		return nil, nil
	}
	parent := ""
	for i, blob := range c.layers {
		id := layerID(parent, c.diffIDs[i])
		layer := newLayer{blob: blob, diffID: c.diffIDs[i], parent: parent, id: id}
		if _, err = s.lib.Layer(id); errors.Is(err, storage.ErrLayerUnknown) {
			layer.same, err = s.sameContent(c.diffIDs[i])
			if layer.same != "" && s.driverName != DriverFuse || err != nil {
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
func (s *Store) sameContent(diffID digest.Digest) (id string, err error) {
	same, err := s.lib.LayersByUncompressedDigest(diffID)
	if errors.Is(err, storage.ErrLayerUnknown) || err == nil && len(same) == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return same[0].ID, nil
}

// unpackLayers brings the layers of an image into the store in one pass each: they are decompressed, verified,
// unpacked and indexed while they are read. The library, when it copies the image, then finds them there. By itself it
// would copy each blob into a file, decompress it to learn its digest, and decompress the file again to unpack it.
func (t *transfer) unpackLayers(ctx context.Context, in intake, c contents) (err error) {
	layers, err := t.store.newLayers(c)
	if err != nil || len(layers) == 0 {
		return err
	}
	if in.ahead != nil {
		stop := in.ahead(ctx, slices.DeleteFunc(slices.Clone(layers), func(l newLayer) bool { return l.there || l.same != "" }))
		defer stop()
	}
	source, err := in.src.NewImageSource(ctx, t.sys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for _, layer := range layers {
		state := LayerExists
		switch {
		case layer.there:
		case layer.same != "":
			if err := t.store.reuse(layer); err != nil {
				return fmt.Errorf("make layer %s of layer %s: %w", layer.id, layer.same, err)
			}
		default:
			if err := t.unpackLayer(ctx, in, source, layer); err != nil {
				return fmt.Errorf("unpack layer %s: %w", layer.diffID, err)
			}
			state = LayerDone
		}
		in.report.layer(layer.blob.Digest, state, 0, 0)
	}
	return nil
}

// tellsLayers tells whether an image says what its layers contain, by digests of the usual kind.
func (c contents) tellsLayers() bool {
	usual := func(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.Canonical }
	for i, layer := range c.layers {
		if len(c.layers) != len(c.diffIDs) || !usual(layer.Digest) || !usual(c.diffIDs[i]) {
			return false
		}
	}
	return true
}

// layerID returns the id that the library gives to a layer of some content above another one, "" for none.
func layerID(parent string, diffID digest.Digest) string {
	if parent == "" {
		return diffID.Encoded()
	}
	return digest.FromString(parent + "+" + diffID.Encoded()).Encoded()
}

func (t *transfer) unpackLayer(ctx context.Context, in intake, source types.ImageSource, layer newLayer) error {
	blob := layer.blob
	body, _, err := source.GetBlob(ctx, blob, none.NoCache)
	if err != nil {
		return err
	}
	defer body.Close()
	if in.ahead == nil { // else what was fetched is reported
		body = in.report.reader(blob.Digest, body, 0, blob.Size)
	}
	content, err := newLayerReader(contextReader{ctx, body}, blob, layer.diffID)
	if err != nil {
		return err
	}
	defer content.Close()
	options := &storage.LayerOptions{OriginalDigest: blob.Digest, UncompressedDigest: layer.diffID}
	if blob.Size >= 0 {
		options.OriginalSize = &blob.Size
	}
	_, _, err = t.store.lib.PutLayer(layer.id, layer.parent, nil, "", false, options, content)
	if errors.Is(err, storage.ErrDuplicateID) {
		return nil // by another process, at the same time
	}
	if err == nil && content.compression == archive.Gzip {
		err = t.store.rememberForm(layer.id, compressedForm{blob.Digest, blob.Size})
	}
	return err
}

// layerReader reads the content of a layer from its blob. It ends with an error instead of io.EOF if blob or content
// are not what their digests say, before anything that was made of them is put on record.
type layerReader struct {
	blob        countedReader // reading it feeds isBlob
	size        int64         // of the blob; -1 if it is not known
	plain       io.ReadCloser
	content     io.Reader // of plain, from its beginning
	compression archive.Compression
	// isBlob and isContent are one and the same for a blob that is not compressed.
	isBlob, isContent digest.Verifier
}

func newLayerReader(r io.Reader, blob types.BlobInfo, diffID digest.Digest) (*layerReader, error) {
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

// verify judges what was read, once all of it was.
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
