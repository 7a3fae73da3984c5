package archive

import (
	"encoding/json"
	"runtime"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/core"
)

// imageConfig is the configuration of an image that is made here, with what docker adds to the specification.
type imageConfig struct {
	v1.Image
	Config runConfig `json:"config"` // in the place of the one that v1.Image has

	layers []layers.Layer // the undermost first
}

type runConfig struct {
	v1.ImageConfig
	layers.DockerConfig
}

// newImageConfig returns the configuration of an image of this host's platform that has no layers yet.
func newImageConfig(now time.Time) *imageConfig {
	return &imageConfig{Image: v1.Image{
		Created:  &now,
		Platform: v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH},
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}}
}

// change carries out instructions of a Dockerfile. As there, an ENTRYPOINT cancels an earlier CMD.
func (c *imageConfig) change(changes []string) error {
	named := map[string]bool{}
	for _, change := range changes {
		if err := applyChange(&c.Config, change); err != nil {
			return fault.Errorf(errdefs.ErrInvalidArgument, "change %q: %w", change, err)
		}
		name, _, _ := strings.Cut(strings.TrimSpace(change), " ")
		named[strings.ToUpper(name)] = true
	}
	if named["ENTRYPOINT"] && !named["CMD"] {
		c.Config.Cmd = nil
	}
	return nil
}

// addLayer puts a layer upon those that are there.
func (c *imageConfig) addLayer(l layers.Layer) {
	c.layers = append(c.layers, l)
	c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, l.DiffID)
}

// top is the id of the uppermost layer, "" where there is none.
func (c *imageConfig) top() string {
	if len(c.layers) == 0 {
		return ""
	}
	return c.layers[len(c.layers)-1].ID
}

// manifest describes the image with uncompressed layers, which is how the store gives them back.
func (c *imageConfig) manifest(config []byte) ([]byte, error) {
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    core.Descriptor(v1.MediaTypeImageConfig, config),
		Layers:    []v1.Descriptor{},
	}
	for _, l := range c.layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: l.DiffID, Size: l.Size})
	}
	return json.Marshal(m)
}

// recordImage records an image of a configuration, whose layers are in the store. The image gets its names last.
func recordImage(s *layers.Store, config *imageConfig, names []string) (id string, err error) {
	configData, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	manifestData, err := config.manifest(configData)
	if err != nil {
		return "", err
	}
	id = digest.FromBytes(configData).Encoded()
	return id, s.Core().CreateImage(core.ImageRecord{
		ID: id, Top: config.top(), Created: *config.Created, Config: configData, Manifest: manifestData, Names: names,
	})
}
