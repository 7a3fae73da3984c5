package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/progress"
	"github.com/rcrun/rcrun/layers/tree"
)

// CommitOptions is how to make an image of a container.
type CommitOptions struct {
	// Image is the id of the image that the container was made of; "" for none.
	Image string
	// Config is what the container runs and how. Healthcheck and shell are the image's.
	Config v1.ImageConfig
	// StopTimeout is in seconds; nil for the default.
	StopTimeout *int
	// Between are the layers between the image and the container's own, the nearest first. They become no part of the
	// image. In a store without xattrs each has a record of xattrs like a container's, in the directory work beside it.
	Between []string
	// Name is the name of the image; "" for none.
	Name string
	// Changes are instructions as in a Dockerfile.
	Changes []string
	// CreatedBy, Message and Author go into the history.
	CreatedBy, Message, Author string
	// Squash makes one layer of all.
	Squash bool
	// Progress is told how much of the layer was read; nil is quiet.
	Progress progress.Func
}

// Commit makes an image of what a container, given its full id, has changed, and returns the image's id. If the
// container has changed nothing, the image has the same layers. No process may write to the container meanwhile.
func Commit(ctx context.Context, s *layers.Store, id string, opts CommitOptions) (image string, err error) {
	image, err = commit(ctx, s, id, opts)
	if err != nil {
		return "", fmt.Errorf("commit container %s: %w", id, err)
	}
	return image, nil
}

func commit(ctx context.Context, s *layers.Store, id string, opts CommitOptions) (image string, err error) {
	place, err := s.Core().Begin(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Core().Finish(place)) }()
	names, err := imagename.NewList(opts.Name)
	if err != nil {
		return "", err
	}
	config, err := commitConfig(ctx, s, opts)
	if err != nil {
		return "", err
	}
	r, err := containerTar(ctx, s, id, config.top(), opts)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content := bufio.NewReader((&progress.Meter{To: opts.Progress}).Reader(r))
	unchanged, err := isEmptyTar(content)
	if err != nil {
		return "", err
	}
	config.History = append(config.History, v1.History{Created: config.Created, CreatedBy: opts.CreatedBy,
		Author:  opts.Author,
		Comment: opts.Message, EmptyLayer: unchanged})
	if unchanged {
		return recordImage(s, config, names)
	}
	return recordUpon(s, config, content, names)
}

// commitConfig makes the configuration of the image without the new layer and its history.
func commitConfig(ctx context.Context, s *layers.Store, opts CommitOptions) (*imageConfig, error) {
	config := newImageConfig(time.Now().UTC())
	if opts.Image != "" {
		base, err := s.Image(ctx, opts.Image)
		if err != nil {
			return nil, err
		}
		config.inherit(base)
	}
	if opts.Squash {
		config.dropLayers()
	}
	config.Author = opts.Author
	config.Config.ImageConfig, config.Config.StopTimeout = opts.Config, opts.StopTimeout
	return config, config.change(opts.Changes)
}

// inherit takes over what an image hands down to an image that is made of it. If its history lacks entries for layers,
// it gets them.
func (c *imageConfig) inherit(base *layers.Image) {
	c.Platform, c.History = base.Config.Platform, base.Config.History
	c.Config.Healthcheck, c.Config.Shell = base.Docker.Healthcheck, base.Docker.Shell
	for _, l := range base.Layers {
		c.addLayer(l)
	}
	told := 0
	for _, step := range c.History {
		if !step.EmptyLayer {
			told++
		}
	}
	for range len(c.layers) - told {
		c.History = append(c.History, v1.History{Created: base.Config.Created})
	}
}

// dropLayers drops the layers of all steps so far, and keeps their descriptions.
func (c *imageConfig) dropLayers() {
	c.layers, c.RootFS.DiffIDs = nil, c.RootFS.DiffIDs[:0]
	history := make([]v1.History, len(c.History))
	for i, step := range c.History {
		history[i] = step
		history[i].EmptyLayer = true
	}
	c.History = history
}

// containerTar returns the tar of what a container has changed or, to squash, of all that it shows. Closing it ends the
// packing.
func containerTar(ctx context.Context, s *layers.Store, id, parent string, opts CommitOptions) (io.ReadCloser, error) {
	if s.Core().DriverName == driver.VFS && !opts.Squash {
		return packed(ctx, func(w io.Writer) error { return s.VFSDiff(ctx, w, id, opts.Between) }), nil
	}
	t, pack, err := s.PackOptions(ctx, id, opts.Between)
	if err != nil {
		return nil, err
	}
	pack.Flatten = opts.Squash
	if !opts.Squash {
		if pack.OmitRoot, err = driver.SameRoot(t, s.Below(parent, pack)); err != nil {
			return nil, err
		}
	}
	return packed(ctx, func(w io.Writer) error { return tree.Pack(t, w, pack) }), nil
}

// packed returns what pack writes.
func packed(ctx context.Context, pack func(io.Writer) error) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(pack(ctxio.Writer(ctx, w))) }()
	return r
}

// isEmptyTar tells whether a tar has no entries: then it has only the two blocks of zeros that end a tar.
func isEmptyTar(r *bufio.Reader) (bool, error) {
	const end = 1024
	head, err := r.Peek(end + 1)
	if err == nil || err == io.EOF {
		return len(head) == end, nil
	}
	return false, err
}

// Export writes all that a container, given its full id, shows as one tar, with the layers between its image and its
// own. No process may write to the container meanwhile.
func Export(ctx context.Context, s *layers.Store, w io.Writer, id string, between []string) error {
	t, opts, err := s.PackOptions(ctx, id, between)
	if err != nil {
		return err
	}
	opts.Flatten, opts.Writable.Hidden = true, 0
	if err := tree.Pack(t, ctxio.Writer(ctx, w), opts); err != nil {
		return fmt.Errorf("export container %s: %w", id, err)
	}
	return nil
}
