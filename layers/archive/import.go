package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/storage/pkg/archive"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/progress"
)

// ImportOptions is how to make an image of a root filesystem.
type ImportOptions struct {
	// Name is the name of the image; "" for none.
	Name string
	// Changes are instructions as in a Dockerfile, such as `CMD ["sh"]`: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK,
	// LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR.
	Changes []string
	// Message is the comment in the image's history; "" is a general one.
	Message string
	// Platform is "os/arch[/variant]"; "" is the host's.
	Platform string
	// Progress is told how much of the tar was read; nil is quiet.
	Progress progress.Func
	// Size is how many bytes the tar has; 0 if that is not known.
	Size int64
}

// Import makes an image with one layer of a tar, compressed or not, and returns its id. If the store has the content of
// the tar, Import makes no further layer. If r is an io.Seeker and not compressed, Import finds that out before it
// unpacks anything; any other r is read once.
func Import(ctx context.Context, s *layers.Store, r io.Reader, opts ImportOptions) (id string, err error) {
	id, err = importTar(ctx, s, r, opts)
	if err != nil {
		return "", fmt.Errorf("import image: %w", err)
	}
	return id, nil
}

func importTar(ctx context.Context, s *layers.Store, r io.Reader, opts ImportOptions) (id string, err error) {
	// Errors that do not depend on the tar are found before it is read.
	config, err := newConfig(opts)
	if err != nil {
		return "", err
	}
	names, err := imagename.NewList(opts.Name)
	if err != nil {
		return "", err
	}
	if err := intake.AllowTar(ctx); err != nil {
		return "", err
	}
	place, err := s.Core().Begin(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Core().Finish(place)) }()
	counted := &progress.Meter{To: opts.Progress, Total: opts.Size}
	if file, diffID := plainTar(ctx, r, counted); file != nil {
		return importFile(ctx, s, file, diffID, config, names, counted)
	}
	content, err := openTar(ctxio.Reader(ctx, counted.Reader(r)))
	if err != nil {
		return "", errors.Join(err, ctx.Err())
	}
	defer content.Close()
	return recordUpon(s, config, &wholeTar{r: content}, names)
}

// openTar decompresses a tar.
func openTar(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReader(r)
	if _, err := buffered.Peek(1); err == io.EOF {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "the tar is empty")
	} else if err != nil {
		return nil, fmt.Errorf("read tar: %w", err)
	}
	content, err := archive.DecompressStream(buffered)
	if err != nil {
		return nil, fmt.Errorf("decompress tar: %w", err)
	}
	return content, nil
}

// wholeTar is a tar whose end is an error if the block of zeros is missing that ends a tar: then it was cut off between
// two entries. A layer of a registry has a digest; but if a program dies that writes a tar into a pipe, nothing else
// shows it.
type wholeTar struct {
	r    io.Reader
	last [512]byte // the last bytes read
}

func (t *wholeTar) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n >= len(t.last) {
		copy(t.last[:], p[n-len(t.last):n])
	} else {
		copy(t.last[:], t.last[n:])
		copy(t.last[len(t.last)-n:], p[:n])
	}
	if err == io.EOF && t.last != [512]byte{} {
		err = fmt.Errorf("the tar is cut off: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}

// newConfig makes the configuration of an imported image without the digest of its layer.
func newConfig(opts ImportOptions) (*imageConfig, error) {
	now := time.Now().UTC()
	message := opts.Message
	if message == "" {
		message = "Imported from a tar"
	}
	config := newImageConfig(now)
	config.History = []v1.History{{Created: &now, Comment: message}}
	if opts.Platform != "" {
		var err error
		if config.OS, config.Architecture, config.Variant, err = imagename.ParsePlatform(opts.Platform); err != nil {
			return nil, err
		}
	}
	return config, config.change(opts.Changes)
}
