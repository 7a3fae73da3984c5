package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/core"
)

// Image is what the store knows of an image.
type Image struct {
	ID          string   // hex digest of the configuration
	Names       []string // in full: docker.io/library/debian:12
	RepoTags    []string // as people write them: debian:12
	RepoDigests []string // debian@sha256:..., its name in the registries that it was pulled from or pushed to
	Digest      digest.Digest
	Created     time.Time
	Size        int64        // of the layers' tars together, in bytes
	Config      v1.Image     // platform, what to run and how, history
	Docker      DockerConfig // what docker adds to that
	Comment     string       // by the maker of the image
	// DockerVersion is the version of the docker that made the image; "" where another program made it.
	DockerVersion string
	TopLayer      string  // id of the uppermost layer; "" for an image without any
	Layers        []Layer // the undermost first
}

// Layer is one layer of an image.
type Layer struct {
	ID     string
	DiffID digest.Digest // of its tar
	Size   int64         // of its tar, in bytes
}

// DockerConfig is what docker keeps in an image's configuration beyond the image specification.
type DockerConfig struct {
	Healthcheck *Healthcheck `json:",omitempty"`
	OnBuild     []string     `json:",omitempty"`
	Shell       []string     `json:",omitempty"`
	StopTimeout *int         `json:",omitempty"` // seconds
}

// Healthcheck is how to find out whether a container is healthy. Zero values mean the defaults.
type Healthcheck struct {
	Test          []string      `json:",omitempty"` // "NONE"; "CMD", args...; "CMD-SHELL", command
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// Images lists all images, the newest first. An image with damaged records does not hide the others: it is listed
// without its configuration, and the error names it.
func (s *Store) Images(ctx context.Context) ([]Image, error) {
	r, err := s.core.Records(ctx)
	if err != nil {
		return nil, err
	}
	var images []Image
	var broken []error
	for _, record := range r.Images {
		if core.IsUnfinished(record) {
			continue
		}
		if ctx.Err() != nil {
			return images, context.Cause(ctx)
		}
		img, err := s.describe(record, r.Layers)
		if err != nil && !s.core.Lib.Exists(record.ID) {
			continue // it was removed meanwhile
		}
		images = append(images, img)
		broken = append(broken, err)
	}
	sort.SliceStable(images, func(i, j int) bool { return images[i].Created.After(images[j].Created) })
	return images, errors.Join(broken...)
}

// Image returns the image that ref names: name[:tag], name@digest, or an id, which may be abbreviated and may begin
// with "sha256:". If there is no such image, the error has the class errdefs.ErrNotFound; if an abbreviated id fits
// several images, errdefs.ErrInvalidArgument.
func (s *Store) Image(ctx context.Context, ref string) (*Image, error) {
	record, err := s.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	known, err := s.layersByID()
	if err != nil {
		return nil, err
	}
	img, err := s.describe(record, known)
	if err != nil {
		return nil, err
	}
	return &img, nil
}

// DriverData returns the name of the graph driver, and what the driver says of the uppermost layer of an image.
func (s *Store) DriverData(img *Image) (driver string, data map[string]string, err error) {
	d, err := s.core.Lib.GraphDriver()
	if err != nil {
		return "", nil, fmt.Errorf("describe image %s: %w", img.ID, err)
	}
	if img.TopLayer != "" {
		data, err = d.Metadata(img.TopLayer)
	}
	if err != nil {
		return "", nil, fmt.Errorf("describe image %s: %w", img.ID, err)
	}
	return d.String(), data, nil
}

func (s *Store) layersByID() (map[string]storage.Layer, error) {
	all, err := s.core.Lib.Layers()
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	known := make(map[string]storage.Layer, len(all))
	for _, layer := range all {
		known[layer.ID] = layer
	}
	return known, nil
}

// describe fills in an Image. If there is an error, the other fields are right nevertheless.
func (s *Store) describe(record storage.Image, known map[string]storage.Layer) (Image, error) {
	img := Image{
		ID: record.ID, Names: record.Names, Digest: record.Digest, Created: record.Created, TopLayer: record.TopLayer,
	}
	img.RepoTags = familiarTags(record)
	noted, err := s.repoDigests(record)
	if err != nil {
		return img, err
	}
	img.RepoDigests = familiarDigests(record, noted)
	for id := record.TopLayer; id != ""; {
		layer, ok := known[id]
		if !ok {
			return img, fault.Errorf(errdefs.ErrDataLoss, "image %s: layer %s is missing", record.ID, id)
		}
		img.Layers = append(img.Layers, Layer{ID: id, DiffID: layer.UncompressedDigest, Size: layer.UncompressedSize})
		img.Size += layer.UncompressedSize
		id = layer.Parent
	}
	slices.Reverse(img.Layers)
	data, err := s.core.Lib.ImageBigData(record.ID, core.ConfigKey(record.ID))
	if err == nil {
		err = img.SetConfig(data)
	}
	if err != nil {
		return img, fmt.Errorf("read the configuration of image %s: %w", record.ID, err)
	}
	return img, nil
}

// SetConfig fills in what an image's configuration says, given as JSON.
func (img *Image) SetConfig(data []byte) error {
	docker := struct {
		Config  *DockerConfig `json:"config"`
		Comment *string       `json:"comment"`
		Version *string       `json:"docker_version"`
	}{&img.Docker, &img.Comment, &img.DockerVersion}
	if err := json.Unmarshal(data, &img.Config); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &docker); err != nil {
		return err
	}
	if n := len(img.Config.History); img.Comment == "" && n > 0 {
		img.Comment = img.Config.History[n-1].Comment
	}
	return nil
}

// familiarTags returns the tags of an image as people write them.
func familiarTags(record storage.Image) (tags []string) {
	for _, name := range record.Names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue // this program gives no such name
		}
		if _, isDigest := ref.(reference.Digested); !isDigest {
			tags = append(tags, reference.FamiliarString(ref))
		}
	}
	return tags
}

// Fits tells why an image is not for a platform, "os/arch[/variant]" or a part of that. It returns nil if the image is
// for the platform, and for "". ref is how the user calls the image. The error is an *imagename.PlatformError.
func (img *Image) Fits(platform, ref string) error {
	system, arch, variant, err := imagename.ParsePlatform(platform)
	if err != nil || platform == "" {
		return err
	}
	sys := &types.SystemContext{OSChoice: system, ArchitectureChoice: arch, VariantChoice: variant}
	return imagename.Fits(sys, img.Config.Platform, ref)
}
