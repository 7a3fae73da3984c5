package archive

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/progress"
)

// An image that is made here gets no layer of its own if the store has a layer of the same content upon the same
// layers. For a tar in a file, the digest is computed first, and the layer gets the id that the library would give it;
// an image with this layer that is pulled later has it then, too. For any other tar the digest is known when everything
// is unpacked; what was unpacked is removed then.

// recordUpon makes an image of a configuration and one more layer, whose tar is content, upon the layers of the
// configuration.
func recordUpon(s *layers.Store, config *imageConfig, content io.Reader, names []string) (id string, err error) {
	parent := config.top()
	made, _, err := s.Core().Lib.PutLayer("", parent, nil, "", false, nil, content)
	if err != nil {
		return "", err
	}
	twin, err := twin(s, made.UncompressedDigest, parent, made.ID)
	if err != nil {
		return "", errors.Join(err, dropLayer(s, made.ID))
	}
	layer := layerOf(made)
	if twin != "" {
		layer.ID = twin
	}
	config.addLayer(layer)
	id, err = recordImage(s, config, names)
	if twin != "" && core.IsMissing(err) { // another process has removed it
		config.layers[len(config.layers)-1].ID = made.ID
		twin = ""
		id, err = recordImage(s, config, names)
	}
	if twin != "" || err != nil {
		err = errors.Join(err, dropLayer(s, made.ID))
	}
	return id, err
}

// dropLayer removes a layer that was just made, unless something has come to need it.
func dropLayer(s *layers.Store, id string) error {
	err := s.Core().Lib.DeleteLayer(id)
	if core.IsMissing(err) || core.IsNeeded(err) {
		return nil
	}
	return err
}

func layerOf(record *storage.Layer) layers.Layer {
	return layers.Layer{ID: record.ID, DiffID: record.UncompressedDigest, Size: record.UncompressedSize}
}

// twin returns the id of a layer with the same content and parent that is not the layer than; "" if there is none.
func twin(s *layers.Store, diffID digest.Digest, parent, than string) (string, error) {
	same, err := s.Core().Lib.LayersByUncompressedDigest(diffID)
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

// plainTar tells whether r can be read twice and is not compressed, and returns it with the digest of what it has from
// its position on. It reports no errors, because reading the tar again will.
func plainTar(ctx context.Context, r io.Reader, counted *progress.Meter) (io.ReadSeeker, digest.Digest) {
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
	if _, err := file.Seek(start, io.SeekStart); err != nil || n < len(head) ||
		archive.DetectCompression(head) != archive.Uncompressed {
		return nil, ""
	}
	counted.Total *= 2 // it is unpacked afterwards
	sum, err := digest.Canonical.FromReader(ctxio.Reader(ctx, counted.Reader(file)))
	if _, back := file.Seek(start, io.SeekStart); back != nil || err != nil {
		return nil, ""
	}
	return file, sum
}

// importFile makes an image of a tar whose digest is known, which it unpacks unless it is there.
func importFile(ctx context.Context, s *layers.Store, file io.ReadSeeker, diffID digest.Digest, config *imageConfig,
	names []string, counted *progress.Meter) (id string, err error) {
	claimed, err := intake.Claim(s, []digest.Digest{diffID})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, intake.ReleaseLayers(s, claimed, []digest.Digest{diffID}, err != nil)) }()
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	return intake.WhileRemoved(func() (string, error) {
		if _, err := file.Seek(start, io.SeekStart); err != nil {
			return "", err
		}
		layer, err := layerOfFile(ctx, s, counted.Reader(file), diffID)
		if err != nil {
			return "", err
		}
		with := *config
		with.addLayer(layer)
		return recordImage(s, &with, names)
	})
}

// layerOfFile returns the layer of a tar that lies upon no other layer.
func layerOfFile(ctx context.Context, s *layers.Store, file io.Reader, diffID digest.Digest) (layers.Layer, error) {
	there, err := twin(s, diffID, "", "")
	if err != nil {
		return layers.Layer{}, err
	}
	if there == "" {
		there = intake.LayerID("", diffID)
		content, err := intake.NewLayerReader(ctxio.Reader(ctx, file), types.BlobInfo{Digest: diffID, Size: -1}, diffID)
		if err != nil {
			return layers.Layer{}, err
		}
		defer content.Close()
		options := &storage.LayerOptions{UncompressedDigest: diffID}
		_, _, err = s.Core().Lib.PutLayer(there, "", nil, "", false, options, &wholeTar{r: content})
		if err != nil && !errors.Is(err, storage.ErrDuplicateID) { // which another process has just made
			return layers.Layer{}, err
		}
	}
	layer, err := s.Core().Lib.Layer(there)
	if err != nil {
		return layers.Layer{}, err
	}
	return layerOf(layer), nil
}
