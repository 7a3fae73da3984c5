package view

import (
	"context"
	"time"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
)

// ImageInspection is what is known of an image.
type ImageInspection struct {
	image.InspectResponse
	Config ImageConfig // in place of Docker's, which has only what the image sets
	// Parent and DockerVersion were Docker's until version 29.
	Parent        string
	DockerVersion string
	History       []ImageHistory // podman's; Docker has it in its history command only
	Digest        string         `json:",omitempty"`
}

// ImageConfig is the configuration of an image in the form of a container's. Ports are as the image has them, which may
// expose what is no port.
type ImageConfig struct {
	engine.Config
	ExposedPorts map[string]struct{} `json:",omitempty"`
	OnBuild      []string
}

// ImageHistory is a step by which an image was made, as its configuration has it.
type ImageHistory struct {
	Created    string `json:"created,omitempty"` // RFC 3339 with nanoseconds
	CreatedBy  string `json:"created_by,omitempty"`
	Comment    string `json:"comment,omitempty"`
	EmptyLayer bool   `json:"empty_layer,omitempty"`
}

// InspectImage returns what is known of the image that ref names.
func InspectImage(ctx context.Context, e *layered.Engine, ref string) (*ImageInspection, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	img, err := store.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	driver, data, err := store.DriverData(img)
	if err != nil {
		return nil, err
	}
	i := describeImage(img)
	i.GraphDriver = &storage.DriverData{Name: driver, Data: data}
	return i, ctx.Err()
}

// describeImage returns what the record of an image says.
func describeImage(img *layers.Image) *ImageInspection {
	config := img.Config
	i := &ImageInspection{
		InspectResponse: image.InspectResponse{
			ID: imageRef(img.ID), RepoTags: orEmpty(img.RepoTags), RepoDigests: orEmpty(img.RepoDigests),
			Created: img.Created.Format(time.RFC3339Nano), Comment: img.Comment, Author: config.Author,
			Architecture: config.Architecture, Variant: config.Variant, Os: config.OS, OsVersion: config.OSVersion,
			Size: img.Size, RootFS: image.RootFS{Type: "layers", Layers: []string{}},
		},
		Config: ImageConfig{Config: layered.ImageConfig(img), ExposedPorts: config.Config.ExposedPorts,
			OnBuild: img.Docker.OnBuild},
		DockerVersion: img.DockerVersion, Digest: img.Digest.String(),
	}
	i.Config.Shell, i.Config.ArgsEscaped = img.Docker.Shell, config.Config.ArgsEscaped
	for _, id := range config.RootFS.DiffIDs {
		i.RootFS.Layers = append(i.RootFS.Layers, id.String())
	}
	for _, h := range config.History {
		step := ImageHistory{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer}
		if h.Created != nil {
			step.Created = h.Created.Format(time.RFC3339Nano)
		}
		i.History = append(i.History, step)
	}
	return i
}
