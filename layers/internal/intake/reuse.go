package intake

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

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/tree"
)

// The content of a new layer may be in the store under another id, because it was imported or lies above another
// parent. Then the new layer is made of that one: nothing is fetched, decompressed or parsed. The image's configuration
// names the content by digest. This file does not check that the blob which the manifest names has that content, so the
// blob is not put on record. The library would fetch the blob to find out; so the record of such an image is made here.

// reuse makes a layer of another layer with the same content. It does not hold the lock on the layers while it copies
// files.
func reuse(s *layers.Store, layer NewLayer) error {
	library, err := s.Core().Lib.GraphDriver()
	if err != nil {
		return err
	}
	ours, ok := library.(*driver.Driver)
	if !ok {
		return fmt.Errorf("make a layer of another one with driver %s: %w", library, errors.ErrUnsupported)
	}
	named, err := tarNames(s, layer.same)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", storage.ErrLayerUnknown, err)
	}
	if err != nil {
		return err
	}
	place, err := ours.CopyTree(layer.parent, layer.same, named)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", storage.ErrLayerUnknown, err) // another process has removed it
	}
	if err != nil {
		return err
	}
	ours.Copies.Put(layer.id, place)
	_, err = s.Core().Lib.CreateLayer(layer.id, layer.parent, nil, "", false,
		&storage.LayerOptions{TemplateLayer: layer.same})
	if rest := ours.Copies.Take(layer.id); rest != nil { // the library has not used it
		err = errors.Join(err, rest.Close())
	}
	if errors.Is(err, storage.ErrDuplicateID) {
		return nil // another process has made it at the same time
	}
	return err
}

// tarNames returns the paths in the tree of a layer that the layer's tar has entries for; "" is the root.
func tarNames(s *layers.Store, id string) (map[string]bool, error) {
	record, err := os.Open(s.Core().TarSplit(id))
	if err != nil {
		return nil, fmt.Errorf("read the headers of layer %s: %w", id, err)
	}
	defer record.Close()
	plain, err := gzip.NewReader(record)
	if err != nil {
		return nil, fmt.Errorf("read the headers of layer %s: %w", id, err)
	}
	files, err := tree.OpenFiles(s.Core().Layout.Tree(id))
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

// needsRecord tells whether the image is not on record, but all its layers are, under the ids that the library gives
// them, and the library could not tell that from the manifest: it would fetch the layers again.
func needsRecord(s *layers.Store, c contents) (bool, error) {
	if _, err := s.Core().Lib.Image(c.ID); !core.IsMissing(err) || !c.tellsLayers() {
		return false, err
	}
	parent, needs := "", false
	for i, blob := range c.Layers {
		parent = LayerID(parent, c.diffIDs[i])
		if _, err := s.Core().Lib.Layer(parent); core.IsMissing(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		known, err := knowsBlob(s, blob.Digest)
		if err != nil {
			return false, err
		}
		needs = needs || !known
	}
	return needs, nil
}

// knowsBlob tells whether the library finds a layer by the digest of its blob.
func knowsBlob(s *layers.Store, blob digest.Digest) (bool, error) {
	for _, find := range []func(digest.Digest) ([]storage.Layer, error){s.Core().Lib.LayersByCompressedDigest,
		s.Core().Lib.LayersByUncompressedDigest} {
		if found, err := find(blob); len(found) > 0 || err != nil && !core.IsMissing(err) {
			return len(found) > 0, err
		}
	}
	return false, nil
}

// makeRecord records an image whose layers are all there, as the library does after it has copied one.
func (t *Transfer) makeRecord(ctx context.Context, in Incoming, c contents) (id string, err error) {
	source, err := in.Src.NewImageSource(ctx, t.Sys)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	unparsed := image.UnparsedInstance(source, nil)
	if err := Allow(ctx, in.Policy, unparsed); err != nil {
		return "", err
	}
	record, err := t.imageRecord(ctx, unparsed)
	if err != nil {
		return "", err
	}
	record.ID = c.ID
	for _, diffID := range c.diffIDs {
		record.Top = LayerID(record.Top, diffID)
	}
	if in.Name != nil {
		record.Names = []string{in.Name.String()}
	}
	return c.ID, t.Store.Core().CreateImage(record)
}

// imageRecord returns the part of an image's record that the image itself tells.
func (t *Transfer) imageRecord(ctx context.Context, unparsed *image.UnparsedImage) (r core.ImageRecord, err error) {
	img, err := image.FromUnparsedImage(ctx, t.Sys, unparsed)
	if err != nil {
		return core.ImageRecord{}, err
	}
	if r.Config, err = img.ConfigBlob(ctx); err != nil {
		return core.ImageRecord{}, err
	}
	info, err := img.Inspect(ctx)
	if err != nil {
		return core.ImageRecord{}, err
	}
	if info.Created != nil {
		r.Created = *info.Created
	}
	r.Manifest, _, err = unparsed.Manifest(ctx)
	return r, err
}
