package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/scratch"
	"github.com/rcrun/rcrun/layers/progress"
)

var layerTypes = map[Compression]string{
	NoCompression: v1.MediaTypeImageLayer, Gzip: v1.MediaTypeImageLayerGzip, Zstd: v1.MediaTypeImageLayerZstd,
}

// ociSaver writes the images of an oci-archive.
type ociSaver struct {
	store       *layers.Store
	archive     *archiver
	compression Compression
	scratch     *scratch.Dir
	counted     *progress.Meter                 // of what is written of layers
	layers      map[digest.Digest]v1.Descriptor // that are in the archive, by the digest of their tar
}

// saveOCI writes an oci-archive. It makes new manifests, because those that an image came with describe other
// compressed layers.
func saveOCI(ctx context.Context, s *layers.Store, w io.Writer, images []*savedImage, compression Compression,
	counted *progress.Meter) (err error) {
	place, err := scratch.New(s.Core().TempRoot())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.Close()) }()
	o := &ociSaver{store: s, archive: newArchiver(ctx, w), compression: compression, scratch: place, counted: counted,
		layers: map[digest.Digest]v1.Descriptor{}}
	if err := o.archive.addJSON(v1.ImageLayoutFile, v1.ImageLayout{Version: v1.ImageLayoutVersion}); err != nil {
		return err
	}
	if err := o.archive.addDirs(v1.ImageBlobsDir, v1.ImageBlobsDir+"/"+digest.SHA256.String()); err != nil {
		return err
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{}}
	for _, img := range images {
		described, err := o.image(img)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, described...)
	}
	if err := o.archive.addJSON(v1.ImageIndexFile, index); err != nil {
		return err
	}
	return o.archive.tw.Close()
}

// image writes the blobs of an image and returns its entries in the index, one for each name.
func (o *ociSaver) image(img *savedImage) ([]v1.Descriptor, error) {
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Layers: []v1.Descriptor{}}
	var err error
	if manifest.Config, err = o.blob(v1.MediaTypeImageConfig, img.config); err != nil {
		return nil, err
	}
	for _, layer := range img.Layers {
		described, err := o.layer(layer)
		if err != nil {
			return nil, err
		}
		manifest.Layers = append(manifest.Layers, described)
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	described, err := o.blob(v1.MediaTypeImageManifest, data)
	if err != nil {
		return nil, err
	}
	described.Platform = &v1.Platform{OS: img.Config.OS, Architecture: img.Config.Architecture,
		Variant: img.Config.Variant}
	if len(img.names) == 0 {
		return []v1.Descriptor{described}, nil
	}
	entries := make([]v1.Descriptor, len(img.names))
	for i, name := range img.names {
		entries[i] = described
		entries[i].Annotations = nameAnnotations(name)
	}
	return entries, nil
}

// nameAnnotations are the names of an image in an index. The standard annotation has the tag alone, which tools for
// image layouts use as a name; docker, containerd and podman read the other one.
func nameAnnotations(name reference.NamedTagged) map[string]string {
	return map[string]string{v1.AnnotationRefName: name.Tag(), containerdName: name.String()}
}

// blob writes a blob that is in memory.
func (o *ociSaver) blob(mediaType string, data []byte) (v1.Descriptor, error) {
	d := core.Descriptor(mediaType, data)
	return d, o.archive.addBytes(blobName(d.Digest), data)
}

func blobName(d digest.Digest) string {
	return v1.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// layer writes a layer, unless the archive has it already. A compressed layer goes through a file, because its digest
// and size come before it in the archive.
func (o *ociSaver) layer(layer layers.Layer) (v1.Descriptor, error) {
	d, ok := o.layers[layer.DiffID]
	if ok {
		return d, nil
	}
	d = v1.Descriptor{MediaType: layerTypes[o.compression], Digest: layer.DiffID, Size: layer.Size}
	var err error
	if o.compression == NoCompression {
		err = o.archive.add(blobName(d.Digest), d.Size,
			func(w io.Writer) error { return o.store.Core().WriteLayer(o.counted.Writer(w), layer.ID, layer.DiffID) })
	} else {
		err = o.compressedLayer(layer, &d)
	}
	o.layers[layer.DiffID] = d
	return d, err
}

func (o *ociSaver) compressedLayer(layer layers.Layer, d *v1.Descriptor) (err error) {
	file, err := os.CreateTemp(o.scratch.Path, "layer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	digester := digest.SHA256.Digester()
	packed, err := compressor(io.MultiWriter(ctxio.Writer(o.archive.ctx, file), digester.Hash()), o.compression)
	if err != nil {
		return err
	}
	if err := errors.Join(o.store.Core().WriteLayer(o.counted.Writer(packed), layer.ID, layer.DiffID),
		packed.Close()); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	d.Digest = digester.Digest()
	if d.Size, err = file.Seek(0, io.SeekCurrent); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return o.archive.add(blobName(d.Digest), d.Size, func(w io.Writer) error {
		_, err := io.Copy(w, file)
		return err
	})
}
