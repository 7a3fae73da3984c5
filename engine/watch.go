package engine

import (
	"context"
	"time"

	"github.com/rcrun/rcrun/internal/filewatch"
)

// watch begins to watch what says of a container whether it runs, and other files of its directory.
func (c *Container) watch(files ...string) (*filewatch.Watcher, error) {
	return filewatch.WatchLock(c.dir(), lockFile, append(files, stateFile)...)
}

// retry makes an attempt, and repeats it whenever it changes whether the container runs. The attempt returns how long
// after the first one a change may still help; 0 if it is done. The error is that of the last attempt.
func (c *Container) retry(ctx context.Context, attempt func() (patience time.Duration, err error)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	start := time.Now()
	patience, err := attempt()
	if patience == 0 {
		return err
	}
	watch, watchErr := c.watch()
	if watchErr != nil {
		return c.goneError(watchErr)
	}
	defer watch.Close()
	for {
		if patience, err = attempt(); patience == 0 {
			return err
		}
		span, cancel := context.WithDeadline(ctx, start.Add(patience))
		_, watchErr := watch.Wait(span)
		late := span.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case late:
			return err
		case watchErr != nil:
			return c.goneError(watchErr)
		}
	}
}
