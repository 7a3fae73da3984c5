package layers

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"go.podman.io/image/v5/image"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers/tree"
)

// A layer whose content is in the store under another id, because it was imported or lies above another parent, is made
// of the one that is there: nothing is fetched, decompressed or parsed. Its content is what the image's configuration
// says by digest. That the blob which the manifest names has that content is not looked at, and so it is not put on
// record either; since the library would fetch the blob to find out, the record of such an image is made here.

// reuse makes a layer of another one with the same content. The lock on the layers is not held while files are copied.
func (s *Store) reuse(layer newLayer) error {
	library, err := s.lib.GraphDriver()
	if err != nil {
		return err
	}
	ours, ok := library.(*driver)
	if !ok {
		return fmt.Errorf("make a layer of another one with driver %s: %w", library, errors.ErrUnsupported)
	}
	named, err := s.tarNames(layer.same)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", storage.ErrLayerUnknown, err)
	}
	if err != nil {
		return err
	}
	place, err := ours.copyTree(layer.parent, layer.same, named)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", storage.ErrLayerUnknown, err) // by another process, meanwhile
	}
	if err != nil {
		return err
	}
	ours.copies.put(layer.id, place)
	_, err = s.lib.CreateLayer(layer.id, layer.parent, nil, "", false, &storage.LayerOptions{TemplateLayer: layer.same})
	if rest := ours.copies.take(layer.id); rest != nil { // the library did not get as far as using it
		err = errors.Join(err, rest.Close())
	}
	if errors.Is(err, storage.ErrDuplicateID) {
		return nil // by another process, at the same time
	}
	return err
}

// tarNames returns the paths in the tree of a layer that its tar has entries for, "" being the root.
func (s *Store) tarNames(id string) (map[string]bool, error) {
	record, err := os.Open(s.tarSplit(id))
	if err != nil {
		return nil, fmt.Errorf("read the headers of layer %s: %w", id, err)
	}
	defer record.Close()
	plain, err := gzip.NewReader(record)
	if err != nil {
		return nil, fmt.Errorf("read the headers of layer %s: %w", id, err)
	}
	files, err := tree.OpenFiles(s.layout.tree(id))
	if err != nil {
		return nil, fmt.Errorf("look up the names of layer %s: %w", id, err)
	}
	defer files.Close()
	names := map[string]bool{}
	for entries := tarsplit.NewJSONUnpacker(plain); ; {
		entry, err := entries.Next()
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the headers of layer %s: %w", id, err)
		}
		if entry.Type == tarsplit.FileType {
			names[files.Resolve(entry.GetName())] = true
		}
	}
}

// needsRecord tells whether all layers of an image are there, under the ids that the library gives them, and the image is
// not, while the library could not tell by the manifest: it would fetch them again.
func (s *Store) needsRecord(c contents) (bool, error) {
	if _, err := s.lib.Image(c.id); !isMissing(err) || !c.tellsLayers() {
		return false, err
	}
	parent, needs := "", false
	for i, blob := range c.layers {
		parent = layerID(parent, c.diffIDs[i])
		if _, err := s.lib.Layer(parent); isMissing(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		known, err := s.knowsBlob(blob.Digest)
		if err != nil {
			return false, err
		}
		needs = needs || !known
	}
	return needs, nil
}

// knowsBlob tells whether the library finds a layer by the digest of its blob.
func (s *Store) knowsBlob(blob digest.Digest) (bool, error) {
	for _, find := range []func(digest.Digest) ([]storage.Layer, error){s.lib.LayersByCompressedDigest, s.lib.LayersByUncompressedDigest} {
		if found, err := find(blob); len(found) > 0 || err != nil && !isMissing(err) {
			return len(found) > 0, err
		}
	}
	return false, nil
}

// makeRecord makes the record of an image whose layers are all there, as the library does when it has copied one.
func (t *transfer) makeRecord(ctx context.Context, in intake, c contents) (id string, err error) {
	source, err := in.src.NewImageSource(ctx, t.sys)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	unparsed := image.UnparsedInstance(source, nil)
	if err := allow(ctx, in.policy, unparsed); err != nil {
		return "", err
	}
	record, err := t.imageRecord(ctx, unparsed)
	if err != nil {
		return "", err
	}
	record.id = c.id
	for _, diffID := range c.diffIDs {
		record.top = layerID(record.top, diffID)
	}
	if in.name != nil {
		record.names = []string{in.name.String()}
	}
	return c.id, t.store.createImage(record)
}

// imageRecord returns of the record of an image what the image itself tells.
func (t *transfer) imageRecord(ctx context.Context, unparsed *image.UnparsedImage) (r imageRecord, err error) {
	img, err := image.FromUnparsedImage(ctx, t.sys, unparsed)
	if err != nil {
		return imageRecord{}, err
	}
	if r.config, err = img.ConfigBlob(ctx); err != nil {
		return imageRecord{}, err
	}
	info, err := img.Inspect(ctx)
	if err != nil {
		return imageRecord{}, err
	}
	if info.Created != nil {
		r.created = *info.Created
	}
	r.manifest, _, err = unparsed.Manifest(ctx)
	return r, err
}
