package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/archive"

	"github.com/rcrun/rcrun/layers"
)

// A registry knows a layer by the digest of its compressed form, which cannot be computed from the layer. So the store
// remembers in which forms it has pulled and pushed each layer, and a push neither compresses nor sends a form that the
// registry has. The library's own memory for that needs a database that Go without C does not have.

// compressedForm is a layer's content as registries have it, compressed with gzip.
type compressedForm struct {
	Digest digest.Digest
	Size   int64
}

// formsKey names the data that the library keeps with a layer for this package: the forms in which the layer was
// pushed.
const formsKey = "rcrun-compressed"

// maxForms bounds how many forms of a layer are remembered.
const maxForms = 8

// forms returns the known forms of a layer.
func forms(s *layers.Store, id string) ([]compressedForm, error) {
	layer, err := s.Core().Lib.Layer(id)
	if err != nil {
		return nil, err
	}
	var forms []compressedForm
	if layer.CompressionType == archive.Gzip && layer.CompressedDigest != "" {
		forms = append(forms, compressedForm{layer.CompressedDigest, layer.CompressedSize})
	}
	data, err := s.Core().Lib.LayerBigData(id, formsKey)
	if errors.Is(err, os.ErrNotExist) {
		return forms, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read known forms of layer %s: %w", id, err)
	}
	var pushed []compressedForm
	err = json.NewDecoder(data).Decode(&pushed)
	return append(forms, pushed...), errors.Join(err, data.Close())
}

// Remember notes the forms in which the layers of an image are in a registry.
func Remember(s *layers.Store, layers []layers.Layer, pushed []types.BlobInfo) error {
	if len(layers) != len(pushed) {
		return nil // an image of the old kind: some of its layers are not in the store
	}
	for i, blob := range pushed {
		if err := rememberForm(s, layers[i].ID, compressedForm{blob.Digest, blob.Size}); err != nil {
			return err
		}
	}
	return nil
}

func rememberForm(s *layers.Store, id string, form compressedForm) error {
	known, err := forms(s, id)
	if err != nil || slices.Contains(known, form) {
		return err
	}
	known = append([]compressedForm{form}, known...)
	data, err := json.Marshal(known[:min(len(known), maxForms)])
	if err != nil {
		return err
	}
	if err := s.Core().Lib.SetLayerBigData(id, formsKey, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("note the forms of layer %s: %w", id, err)
	}
	return nil
}

// KnownReference is an image of the store some of whose layers it offers in the form that the registry has.
type KnownReference struct {
	types.ImageReference
	There map[digest.Digest]compressedForm // by diff id
}

// ThereAlready asks a registry which layers it has in one of the known forms.
func ThereAlready(ctx context.Context, s *layers.Store, dest types.ImageReference, sys *types.SystemContext,
	layers []layers.Layer) (_ map[digest.Digest]compressedForm, err error) {
	registry, err := dest.NewImageDestination(ctx, sys)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, registry.Close()) }()
	there := map[digest.Digest]compressedForm{}
	for _, layer := range layers {
		forms, err := forms(s, layer.ID)
		if err != nil {
			return nil, err
		}
		for _, form := range forms {
			blob := types.BlobInfo{Digest: form.Digest, Size: form.Size}
			if found, _, err := registry.TryReusingBlob(ctx, blob, none.NoCache, false); err != nil {
				return nil, err
			} else if found {
				there[layer.DiffID] = form
				break
			}
		}
	}
	return there, nil
}

// NewImageSource opens the image.
func (r KnownReference) NewImageSource(ctx context.Context, sys *types.SystemContext) (types.ImageSource, error) {
	src, err := r.ImageReference.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return knownSource{src, r.There}, nil
}

type knownSource struct {
	types.ImageSource
	there map[digest.Digest]compressedForm
}

// LayerInfosForCopy tells the library in which forms to copy the layers. The library finds in the registry, by these
// digests, the layers that are there, and does not ask for their content.
func (s knownSource) LayerInfosForCopy(ctx context.Context, instance *digest.Digest) ([]types.BlobInfo, error) {
	infos, err := s.ImageSource.LayerInfosForCopy(ctx, instance)
	if err != nil {
		return nil, err
	}
	for i, info := range infos {
		form, ok := s.there[info.Digest]
		if !ok {
			continue
		}
		infos[i].Digest, infos[i].Size, infos[i].MediaType = form.Digest, form.Size, v1.MediaTypeImageLayerGzip
		if info.MediaType == manifest.DockerV2SchemaLayerMediaTypeUncompressed {
			infos[i].MediaType = manifest.DockerV2Schema2LayerMediaType
		}
	}
	return infos, nil
}
