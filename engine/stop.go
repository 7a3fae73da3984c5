package engine

import (
	"context"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

// defaultStopTimeout is how long stop waits before it kills.
const defaultStopTimeout = 10 * time.Second

// StopOptions are how to stop a container, where it is not as the container's configuration says.
type StopOptions struct {
	Signal  syscall.Signal // that asks the payload to end; 0 is the container's own, or SIGTERM
	Timeout *time.Duration // after which it is killed; nil is the container's own, or ten seconds
}

// Stop asks the payload to end, and waits until it has. The monitor kills it when it has not in time, whether or not
// the caller still waits. A container that does not run is left as it is.
func (c *Container) Stop(ctx context.Context, options StopOptions) error {
	if !c.monitored && (c.refresh() != nil || !c.monitored) { // it may have been started since its record was read
		return nil
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return c.ignoreEnded(ctx, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerTime))
	err = conn.Within(ctx, func() error {
		if err := conn.Send(msgStop, options); err != nil {
			return err
		}
		_, err := receive(conn, msgDone)
		return err
	})
	if errdefs.IsNotImplemented(err) { // the monitor is of an older version
		return c.stopFromHere(ctx, options)
	}
	if err != nil {
		return c.ignoreEnded(ctx, err)
	}
	conn.SetDeadline(time.Time{})
	_, err = (&Session{conn: conn}).Wait(ctx)
	return c.ignoreEnded(ctx, err)
}

// stopFromHere stops a container whose monitor is of a version that cannot.
func (c *Container) stopFromHere(ctx context.Context, options StopOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the waiting, too
	sig, patience := c.stopMethod(options)
	ended := make(chan error, 1)
	go func() {
		other := *c // waiting reads the state again
		_, err := other.Wait(ctx)
		ended <- err
	}()
	if err := c.signalOrEnded(ctx, sig); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return c.ignoreEnded(ctx, err)
	case <-afterOrNever(patience):
	}
	if err := c.signalOrEnded(ctx, syscall.SIGKILL); err != nil {
		return err
	}
	return c.ignoreEnded(ctx, <-ended)
}

// signalOrEnded is Signal for one who waits for the end anyway: that it has come already is no error.
func (c *Container) signalOrEnded(ctx context.Context, sig syscall.Signal) error {
	err := c.Signal(ctx, sig)
	if isAnswer(err) {
		return nil // the monitor is there, and the process that would get the signal is not
	}
	return c.ignoreEnded(ctx, err)
}

// stopMethod returns the signal that asks the payload to end, and how long it has for that. An unknown
// signal of an image's is no reason not to stop.
func (c *Container) stopMethod(options StopOptions) (sig syscall.Signal, patience time.Duration) {
	sig, patience = syscall.SIGTERM, defaultStopTimeout
	if parsed, err := ParseSignal(c.Config.StopSignal); err == nil {
		sig = parsed
	}
	if options.Signal != 0 {
		sig = options.Signal
	}
	switch {
	case options.Timeout != nil:
		patience = *options.Timeout
	case c.Config.StopTimeout != nil:
		patience = time.Duration(*c.Config.StopTimeout) * time.Second
	}
	return sig, patience
}

// afterOrNever is time.After, but for a negative duration it never comes.
func afterOrNever(d time.Duration) <-chan time.Time {
	if d < 0 {
		return nil
	}
	return time.After(d)
}

// ignoreEnded drops an error that came of the container's having ended, or gone, meanwhile.
func (c *Container) ignoreEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if err == nil || c.refresh() != nil || !c.monitored {
		return nil
	}
	return err
}
