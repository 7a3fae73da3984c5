package progress

import (
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/types"
)

// LayerState is how far the transfer of a layer is.
type LayerState int

// The states of a layer. A layer that is there already goes straight to LayerExists.
const (
	LayerWaiting     LayerState = iota // another process is fetching it
	LayerTransfer                      // its content is on its way
	LayerTransferred                   // of a pull; it is not yet unpacked
	LayerDone
	LayerExists
)

// Reporter is told how far a transfer is. Calls of its methods do not overlap.
type Reporter interface {
	// Begin says which image is transferred, by its full name, and which layers it has, the lowest first.
	Begin(name string, layers []digest.Digest)
	// Layer says how far one of the layers is: done of total bytes while its content is on its way.
	Layer(layer digest.Digest, state LayerState, done, total int64)
}

// reportInterval is the time between two reports of how much of a layer has arrived.
const reportInterval = 100 * time.Millisecond

// Report passes on to a Reporter, which may be nil, what several goroutines tell about layers.
type Report struct {
	to Reporter

	mu     sync.Mutex // guards to's methods and what is below
	layers []digest.Digest
	Other  map[digest.Digest]digest.Digest // further digests of layers; set before the transfer begins
	States map[digest.Digest]LayerState
	last   map[digest.Digest]time.Time // when the bytes of a layer were reported
}

// NewReport returns a report to a Reporter, nil for none.
func NewReport(to Reporter) *Report {
	return &Report{to: to, States: map[digest.Digest]LayerState{}, last: map[digest.Digest]time.Time{}}
}

// Begin reports which image is transferred and which layers it has.
func (r *Report) Begin(name string, layers []digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.layers = layers
	for _, layer := range layers {
		r.States[layer] = LayerWaiting
	}
	if r.to != nil {
		r.to.Begin(name, layers)
	}
}

// Layer reports the state of a layer. Other blobs are ignored. A layer that was there already stays in that state, even
// if the image has it in another place, too.
func (r *Report) Layer(d digest.Digest, state LayerState, done, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if layer, ok := r.Other[d]; ok {
		d = layer
	}
	if before, ok := r.States[d]; !ok || before >= LayerDone || r.to == nil {
		return
	}
	if state == LayerTransfer && r.States[d] == state && time.Since(r.last[d]) < reportInterval {
		return
	}
	r.States[d], r.last[d] = state, time.Now()
	r.to.Layer(d, state, done, total)
}

// Finish reports that all layers are done, except those that were there already.
func (r *Report) Finish() {
	for _, layer := range r.layers {
		r.Layer(layer, LayerDone, 0, 0)
	}
}

// Reader reports what is read of a layer's content, of which done bytes were there before.
func (r *Report) Reader(d digest.Digest, body io.ReadCloser, done, total int64) io.ReadCloser {
	return &reportReader{ReadCloser: body, report: r, layer: d, done: done, total: total}
}

type reportReader struct {
	io.ReadCloser
	report      *Report
	layer       digest.Digest
	done, total int64
}

func (r *reportReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.done += int64(n)
	r.report.Layer(r.layer, LayerTransfer, r.done, r.total)
	return n, err
}

// Follow lets a copy by the library report its layers. meanings says what the events of the copy mean; other events are
// ignored. The caller must call the returned function when the copy has ended.
func (r *Report) Follow(options *imagecopy.Options, meanings map[types.ProgressEvent]LayerState) (end func()) {
	events, done := make(chan types.ProgressProperties), make(chan struct{})
	options.Progress, options.ProgressInterval = events, reportInterval
	go func() {
		defer close(done)
		for e := range events {
			if state, ok := meanings[e.Event]; ok {
				r.Layer(e.Artifact.Digest, state, int64(e.Offset), e.Artifact.Size)
			}
		}
	}()
	return func() {
		close(events)
		<-done
	}
}
