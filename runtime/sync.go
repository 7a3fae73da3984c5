package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// Sync has the kernel write back all changes to the root filesystem that are still in memory, such as what processes
// have changed in files that they have mapped. It does not say that they are on disk: that depends on the filesystem.
func (c *Container) Sync(ctx context.Context) error {
	conn, theirs, err := wire.Pair()
	if err != nil {
		return fmt.Errorf("sync the root: %w", err)
	}
	defer conn.Close()
	defer theirs.Close()
	if err := c.sandbox.conn.Send(msgSync, nil, theirs); err != nil {
		return fmt.Errorf("sync the root: %w", err)
	}
	theirs.Close() // so that this side sees the end of the sandbox
	err = conn.Within(ctx, func() error {
		_, err := conn.Expect(msgSynced, nil, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("sync the root: %w", err)
	}
	return nil
}

// sync answers one request over a wire of its own. The working directory of the sandbox is the root.
func (s *sandbox) sync(file *os.File) {
	conn, err := wire.FromFile(file)
	if err != nil {
		return // the creator sees the end of the wire
	}
	defer conn.Close()
	root, err := os.Open(".")
	if err == nil {
		err = errors.Join(unix.Syncfs(int(root.Fd())), root.Close())
	}
	if err != nil {
		// A creator that has gone needs no answer.
		conn.SendError(stageSandbox, wire.Errorf(stageSandbox, "sync", "the root", err))
		return
	}
	conn.Send(msgSynced, nil)
}
