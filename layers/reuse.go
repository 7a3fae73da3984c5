package layers

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers/tree"
)

// A layer whose content is in the store under another id, because it was imported or lies above another parent, is made
// of the one that is there: nothing is fetched, decompressed or parsed. Its content is what the image's configuration
// says by digest. That the blob which the manifest names has that content is not looked at, and so it is not put on
// record either; since the library would fetch the blob to find out, the record of such an image is made here.

// copies are trees that are to become layers, by the ids of those.
type copies struct {
	mu    sync.Mutex
	ready map[string]*scratch
}

func (c *copies) put(id string, place *scratch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready[id] = place
}

// take returns nil where there is none.
func (c *copies) take(id string) *scratch {
	c.mu.Lock()
	defer c.mu.Unlock()
	place := c.ready[id]
	delete(c.ready, id)
	return place
}

// reuse makes a layer of another one with the same content. The lock on the layers is not held while files are copied.
func (s *Store) reuse(layer newLayer) error {
	library, err := s.lib.GraphDriver()
	if err != nil {
		return err
	}
	driver, ok := library.(*driver)
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
	place, err := driver.copyTree(layer, named)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", storage.ErrLayerUnknown, err) // by another process, meanwhile
	}
	if err != nil {
		return err
	}
	driver.copies.put(layer.id, place)
	_, err = s.lib.CreateLayer(layer.id, layer.parent, nil, "", false, &storage.LayerOptions{TemplateLayer: layer.same})
	if rest := driver.copies.take(layer.id); rest != nil { // the library did not get as far as using it
		err = errors.Join(err, rest.Close())
	}
	if errors.Is(err, storage.ErrDuplicateID) {
		return nil // by another process, at the same time
	}
	return err
}

// copyTree makes the tree and index of a layer, on disk before it is on record.
func (d *driver) copyTree(layer newLayer, named map[string]bool) (_ *scratch, err error) {
	place, err := newScratch(d.layout.staging())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, place.Close())
		}
	}()
	lowers, err := d.layout.chain(layer.parent)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(place.Path, diffDir)
	if err := d.layout.makeTree(dir, d.layout.parentTree(layer.parent), ""); err != nil {
		return nil, err
	}
	options := tree.CloneOptions{Named: func(dir string) bool { return named[dir] }, Lowers: lowers}
	return place, d.layout.clone(dir, d.layout.tree(layer.same), options)
}

// commitCopy makes a tree and its index those of a layer, which has none yet, and removes what it was made in.
func (d *driver) commitCopy(id string, place *scratch) error {
	err := os.Rename(filepath.Join(place.Path, indexName), d.layout.index(id))
	if err == nil {
		err = os.Remove(d.layout.diff(id))
	}
	if err == nil {
		err = os.Rename(filepath.Join(place.Path, diffDir), d.layout.diff(id))
	}
	return errors.Join(err, place.Close())
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

// record makes the record of an image whose layers are all there, as the library does when it has copied one.
func (t *transfer) record(ctx context.Context, in intake, c contents) (id string, err error) {
	source, err := in.src.NewImageSource(ctx, t.sys)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	unparsed := image.UnparsedInstance(source, nil)
	if err := allow(ctx, in.policy, unparsed); err != nil {
		return "", err
	}
	options, err := t.imageOptions(ctx, unparsed)
	if err != nil {
		return "", err
	}
	uppermost := ""
	for _, diffID := range c.diffIDs {
		uppermost = layerID(uppermost, diffID)
	}
	img, err := t.store.lib.CreateImage(c.id, nil, uppermost, "", options)
	if err != nil {
		return "", fmt.Errorf("record image: %w", err)
	}
	if in.name == nil {
		return img.ID, nil
	}
	if err := t.store.lib.AddNames(img.ID, []string{in.name.String()}); err != nil {
		_, undo := t.store.lib.DeleteImage(img.ID, true)
		return "", errors.Join(fmt.Errorf("name image: %w", err), undo)
	}
	return img.ID, nil
}

// imageOptions are what the library keeps of an image: its configuration and its manifest.
func (t *transfer) imageOptions(ctx context.Context, unparsed *image.UnparsedImage) (*storage.ImageOptions, error) {
	img, err := image.FromUnparsedImage(ctx, t.sys, unparsed)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigBlob(ctx)
	if err != nil {
		return nil, err
	}
	info, err := img.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	data, _, err := unparsed.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	options := &storage.ImageOptions{}
	if info.Created != nil {
		options.CreationDate = *info.Created
	}
	add := func(key string, data []byte) error {
		sum, err := manifest.Digest(data)
		options.BigData = append(options.BigData, storage.ImageBigDataOption{Key: key, Data: data, Digest: sum})
		return err
	}
	if options.Digest, err = manifest.Digest(data); err != nil {
		return nil, err
	}
	const prefix = storage.ImageDigestManifestBigDataNamePrefix + "-"
	return options, errors.Join(add(img.ConfigInfo().Digest.String(), config), add(storage.ImageDigestBigDataKey, data),
		add(prefix+options.Digest.String(), data))
}
