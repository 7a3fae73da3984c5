package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Status is what a container is doing, in Docker's words.
type Status string

// The states that Docker knows, and what brings a container there.
const (
	Created    Status = "created"    // create
	Running    Status = "running"    // start, until the payload has ended and all else is taken down
	Paused     Status = "paused"     // nothing: its processes cannot be frozen without a cgroup
	Restarting Status = "restarting" // nothing: no policy starts a container again
	Removing   Status = "removing"   // a removal, until the container is gone
	Exited     Status = "exited"     // the end of the payload, or of the monitor
	Dead       Status = "dead"       // a removal that failed, or was killed, half-way
)

// Up tells whether a container in this state has a monitor, and processes or the prospect of them.
func (s Status) Up() bool { return s == Running || s == Paused || s == Restarting }

// removalFile is in the directory of a container from the moment from which it can only be removed. It is empty while
// that goes on; when it has failed it says why.
const removalFile = "removal"

// interrupted is why a container is dead whose removal was killed.
const interrupted = "its removal was interrupted"

// beginRemoval notes that the container is being removed, for the holder of its lock. The note is not flushed to the
// disk: it is worth nothing without what is removed next.
func (c *Container) beginRemoval() error {
	file, err := os.OpenFile(c.path(removalFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its directory is gone
	}
	if err != nil {
		return fmt.Errorf("remove container: %w", err)
	}
	return file.Close()
}

// failRemoval notes why the container could not be removed, and returns that.
func (c *Container) failRemoval(cause error) error {
	err := os.WriteFile(c.path(removalFile), []byte(cause.Error()), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // the directory is gone
	}
	return errors.Join(cause, err)
}

// removal tells whether a removal of the container has begun, and why it failed, as far as anybody knows.
func (c *Container) removal() (begun bool, failure string) {
	text, err := os.ReadFile(c.path(removalFile))
	return err == nil, string(text)
}

// applyRemoval puts a removal that has begun into the state: it goes on for as long as a process holds the lock.
func (c *Container) applyRemoval() error {
	begun, failure := c.removal()
	if !begun {
		return nil
	}
	if locked(c.lockPath()) {
		c.State.Status = Removing
		return nil
	}
	if _, err := os.Lstat(c.lockPath()); err != nil {
		return fmt.Errorf("read container record: %w", err) // it has just been removed
	}
	if failure == "" {
		failure = interrupted
	}
	c.State.Status, c.State.Error = Dead, failure
	return nil
}

// errMarked is of a container of which a removal has begun, and no process goes on with it.
var errMarked = errors.New("is marked for removal, and can only be removed")

// requireWhole is an error for a container of which a removal has begun: parts of it may be missing.
func (c *Container) requireWhole() error {
	if begun, _ := c.removal(); begun {
		return conflictf("container %s %w", c.Name, errMarked)
	}
	return nil
}
