package main

import (
	"errors"
	"fmt"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/layers"
)

// imageInspection is what inspect prints of an image: Docker's object, as far as rcrun has the facts.
type imageInspection struct {
	ID           string         `json:"Id"`
	RepoTags     []string       `json:"RepoTags"`
	RepoDigests  []string       `json:"RepoDigests"`
	Created      time.Time      `json:"Created"`
	Author       string         `json:"Author"`
	Architecture string         `json:"Architecture"`
	Variant      string         `json:"Variant,omitempty"`
	Os           string         `json:"Os"`
	Size         int64          `json:"Size"`
	Config       v1.ImageConfig `json:"Config"`
	RootFS       rootFS         `json:"RootFS"`
}

type rootFS struct {
	Type   string   `json:"Type"`
	Layers []string `json:"Layers"`
}

// inspectOne returns what inspect prints of a container or, where there is none of that name, of an image.
func inspectOne(e *engine.Engine, name string) (any, error) {
	c, err := e.Lookup(name)
	if err == nil {
		return c.Inspect()
	}
	if !errors.Is(err, engine.ErrNoContainer) {
		return nil, err
	}
	store, err := e.Store()
	if err != nil {
		return nil, err
	}
	image, err := store.Image(name)
	if errors.Is(err, layers.ErrNotFound) {
		return nil, fmt.Errorf("no such container or image: %s", name)
	}
	if err != nil {
		return nil, err
	}
	return inspectImage(image), nil
}

func inspectImage(image *layers.Image) imageInspection {
	i := imageInspection{
		ID: "sha256:" + image.ID, RepoTags: image.RepoTags, RepoDigests: image.RepoDigests, Created: image.Created, Author: image.Config.Author,
		Architecture: image.Config.Architecture, Variant: image.Config.Variant, Os: image.Config.OS, Size: image.Size, Config: image.Config.Config,
		RootFS: rootFS{Type: "layers", Layers: []string{}},
	}
	for _, id := range image.Config.RootFS.DiffIDs {
		i.RootFS.Layers = append(i.RootFS.Layers, id.String())
	}
	return i
}
