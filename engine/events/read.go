package events

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/filewatch"
)

// Query selects events.
type Query struct {
	Since  time.Time // the events from then on; zero: none of the past, unless Until is given
	Until  time.Time // the events up to then; zero: without end
	Filter Filter
	// Follow waits for further events up to Until. Without, Read ends with those that there are.
	Follow bool
	// Lost is called where events are missing because the reader was too slow. It may be nil.
	Lost func()
}

// past tells whether events are wanted that have been written already.
func (q Query) past() bool { return !q.Since.IsZero() || !q.Until.IsZero() }

func (q Query) matches(message events.Message) bool {
	at := time.Unix(0, message.TimeNano)
	return !at.Before(q.Since) && (q.Until.IsZero() || !at.After(q.Until)) && q.Filter.Matches(message)
}

// Read passes the events that a query selects to emit, in the order of their times, until there are no more, ctx is
// cancelled or emit returns an error.
func (j *Journal) Read(ctx context.Context, query Query, emit func(events.Message) error) error {
	c := &cursor{journal: j, lost: query.Lost, emit: func(message events.Message) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !query.matches(message) {
			return nil
		}
		return emit(message)
	}}
	defer func() { c.close() }()
	if query.Until.Before(query.Since) && !query.Until.IsZero() {
		return fault.Errorf(errdefs.ErrInvalidArgument, "the events up to %s cannot be after %s",
			query.Until.Format(time.RFC3339Nano), query.Since.Format(time.RFC3339Nano))
	}
	if !query.Follow || !query.Until.IsZero() && query.Until.Before(time.Now()) {
		return c.readPast(query)
	}
	return c.follow(ctx, query)
}

// readPast passes on what there is. The last line may lack its end: its writer was killed.
func (c *cursor) readPast(query Query) error {
	if !query.past() {
		return nil
	}
	if err := c.read(); err != nil {
		return err
	}
	return c.flush()
}

// follow passes on what there is, and waits for more. The directory is watched before it is read: else what is written
// in between would be missed.
func (c *cursor) follow(ctx context.Context, query Query) error {
	if err := makeDir(c.journal.dir); err != nil {
		return err
	}
	w, err := filewatch.New(c.journal.dir)
	if err != nil {
		return err
	}
	defer w.Close()
	if !query.past() {
		if err := c.seekEnd(); err != nil {
			return err
		}
	}
	if query.Until.IsZero() {
		return c.wait(ctx, w)
	}
	span, cancel := context.WithDeadline(ctx, query.Until)
	defer cancel()
	err = c.wait(span, w)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return c.read() // what was written up to the end
	}
	return err
}

// wait passes on what there is whenever the journal changes, until ctx ends.
func (c *cursor) wait(ctx context.Context, w *filewatch.Watcher) error {
	for {
		if err := c.read(); err != nil {
			return err
		}
		if _, err := w.Wait(ctx); err != nil {
			return err
		}
	}
}
