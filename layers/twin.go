package layers

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"
)

// An image that is made here gets no layer of its own where the store has one of the same content upon the same
// layers. Of a tar in a file the digest can be told at once; its layer gets the id that the library would give it, so
// that an image with it that is pulled later has it, too. Of others it is known when all is unpacked, and what was
// unpacked then goes.

// recordUpon makes an image of a configuration and of one more layer upon those that it has, whose tar is content.
func (s *Store) recordUpon(config *imageConfig, content io.Reader, names []string) (id string, err error) {
	parent := config.top()
	made, _, err := s.lib.PutLayer("", parent, nil, "", false, nil, content)
	if err != nil {
		return "", err
	}
	twin, err := s.twin(made.UncompressedDigest, parent, made.ID)
	if err != nil {
		return "", errors.Join(err, s.dropLayer(made.ID))
	}
	layer := layerOf(made)
	if twin != "" {
		layer.ID = twin
	}
	config.addLayer(layer)
	id, err = s.recordImage(config, names)
	if twin != "" && isMissing(err) { // it was removed meanwhile
		config.layers[len(config.layers)-1].ID = made.ID
		twin = ""
		id, err = s.recordImage(config, names)
	}
	if twin != "" || err != nil {
		err = errors.Join(err, s.dropLayer(made.ID))
	}
	return id, err
}

// dropLayer removes a layer that was just made, unless somebody else has come to need it.
func (s *Store) dropLayer(id string) error {
	err := s.lib.DeleteLayer(id)
	if isMissing(err) || isNeeded(err) {
		return nil
	}
	return err
}

func layerOf(record *storage.Layer) Layer {
	return Layer{ID: record.ID, DiffID: record.UncompressedDigest, Size: record.UncompressedSize}
}

// twin returns the id of another layer than one with the same content and the same parent; "" if there is none.
func (s *Store) twin(diffID digest.Digest, parent, than string) (string, error) {
	same, err := s.lib.LayersByUncompressedDigest(diffID)
	if err != nil && !errors.Is(err, storage.ErrLayerUnknown) {
		return "", err
	}
	for _, layer := range same {
		if layer.Parent == parent && layer.ID != than {
			return layer.ID, nil
		}
	}
	return "", nil
}

// plainTar tells whether r can be read twice and is not compressed, and returns it and the digest of what it has from
// where it is. Whatever is wrong with it, reading it once more will say.
func plainTar(ctx context.Context, r io.Reader, counted *meter) (io.ReadSeeker, digest.Digest) {
	file, ok := r.(io.ReadSeeker)
	if !ok {
		return nil, ""
	}
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, "" // a pipe
	}
	head := make([]byte, 16)
	n, _ := io.ReadFull(file, head)
	if _, err := file.Seek(start, io.SeekStart); err != nil || n < len(head) || archive.DetectCompression(head) != archive.Uncompressed {
		return nil, ""
	}
	counted.total *= 2 // it is unpacked afterwards
	sum, err := digest.Canonical.FromReader(contextReader{ctx, counted.reader(file)})
	if _, back := file.Seek(start, io.SeekStart); back != nil || err != nil {
		return nil, ""
	}
	return file, sum
}

// importFile makes an image of a tar whose digest is known, which it unpacks unless it is there.
func (s *Store) importFile(ctx context.Context, file io.ReadSeeker, diffID digest.Digest, config *imageConfig, names []string, counted *meter) (id string, err error) {
	claimed, err := s.claim([]digest.Digest{diffID})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.releaseLayers(claimed, []digest.Digest{diffID}, err != nil)) }()
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	return whileRemoved(func() (string, error) {
		if _, err := file.Seek(start, io.SeekStart); err != nil {
			return "", err
		}
		layer, err := s.layerOfFile(ctx, counted.reader(file), diffID)
		if err != nil {
			return "", err
		}
		with := *config
		with.addLayer(layer)
		return s.recordImage(&with, names)
	})
}

// layerOfFile returns the layer of a tar upon no other layer.
func (s *Store) layerOfFile(ctx context.Context, file io.Reader, diffID digest.Digest) (Layer, error) {
	there, err := s.twin(diffID, "", "")
	if err != nil {
		return Layer{}, err
	}
	if there == "" {
		there = layerID("", diffID)
		content, err := newLayerReader(contextReader{ctx, file}, types.BlobInfo{Digest: diffID, Size: -1}, diffID)
		if err != nil {
			return Layer{}, err
		}
		defer content.Close()
		options := &storage.LayerOptions{UncompressedDigest: diffID}
		_, _, err = s.lib.PutLayer(there, "", nil, "", false, options, &wholeTar{r: content})
		if err != nil && !errors.Is(err, storage.ErrDuplicateID) { // which another process has just made
			return Layer{}, err
		}
	}
	layer, err := s.lib.Layer(there)
	if err != nil {
		return Layer{}, err
	}
	return layerOf(layer), nil
}
