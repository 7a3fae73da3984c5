package registry

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/layers/internal/intake"
)

// maxDownloads is how many blobs of an image are fetched at once.
const maxDownloads = 6

// future is a blob that is being fetched.
type future struct {
	blob types.BlobInfo
	done chan struct{} // closed at the end
	err  error         // valid after that
}

// fetchAhead fetches layers while the layers below are being unpacked. If one cannot be fetched, the others are given
// up for the same reason.
func (d *download) fetchAhead(parent context.Context, layers []intake.NewLayer) (stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	d.ahead = map[digest.Digest]*future{}
	queue := make(chan *future, len(layers))
	for _, layer := range layers {
		if d.ahead[layer.Blob.Digest] == nil {
			f := &future{blob: layer.Blob, done: make(chan struct{})}
			d.ahead[layer.Blob.Digest] = f
			queue <- f
		}
	}
	close(queue)
	var fetchers sync.WaitGroup
	for range min(maxDownloads, len(queue)) {
		fetchers.Go(func() {
			for f := range queue {
				d.resolve(ctx, f)
				if f.err != nil {
					cancel(f.err)
				}
			}
		})
	}
	return func() {
		cancel(context.Canceled)
		fetchers.Wait()
	}
}

func (d *download) resolve(ctx context.Context, f *future) {
	defer close(f.done)
	body, err := d.fetchBlob(ctx, f.blob)
	if err == nil {
		err = body.Close()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	f.err = err
}
