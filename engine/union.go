package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rcrun/rcrun/fusefs"
	"github.com/rcrun/rcrun/internal/eintr"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/strictjson"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// UnionMount is a union filesystem without a container.
type UnionMount struct {
	Stack  unionmount.Options
	Target string // where to mount it; absolute
	Mount  fusefs.MountOptions
	Debug  bool // log every request; only in the foreground, where there is somebody to read it

	SquashUID, SquashGID *uint32 // as fusefs.Options has them
	NoACL, NoXattrs      bool
	fusefs.Tuning
}

// Start mounts the union and returns when it can be used. Its server is a process of its own, which ends with the
// mount. It keeps none of the caller's files open: who waits for the end of their output need not wait for the
// unmounting. It is of the program that Engine.Program describes.
func (m UnionMount) Start(program func() *os.File) error {
	request, err := m.request()
	if err != nil {
		return err
	}
	if err := strictjson.CheckText(request); err != nil {
		return fmt.Errorf("mount a union: %w", err)
	}
	cmd, conn, err := spawnFrom(program, FuseStage, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Send(msgOpen, request); err != nil {
		return err
	}
	if _, err := conn.Expect(msgReady, nil, 0); err != nil {
		cmd.Wait() // it ended with the error
		return err
	}
	dev, err := fusefs.Mount(m.Target, m.Mount)
	if err != nil {
		return err // the server ends with the connection
	}
	err = conn.Send(msgServe, nil, dev)
	dev.Close() // as long as it is open here, nobody would be told of a server that died
	if err == nil {
		err = m.awaitAnswer()
	}
	if err != nil {
		return errors.Join(err, fusefs.Unmount(m.Target))
	}
	return cmd.Process.Release()
}

// awaitAnswer returns when the server has answered a request.
func (m UnionMount) awaitAnswer() error {
	var st unix.Statfs_t
	if err := eintr.Repeat(func() error { return unix.Statfs(m.Target, &st) }); err != nil {
		return fmt.Errorf("wait for the filesystem at %s: %w", m.Target, err)
	}
	return nil
}

// Serve mounts the union and serves it until it is unmounted.
func (m UnionMount) Serve() error {
	request, err := m.request()
	if err != nil {
		return err
	}
	union, err := unionmount.Open(m.Stack)
	if err != nil {
		return err
	}
	defer union.Close()
	dev, err := fusefs.Mount(m.Target, m.Mount)
	if err != nil {
		return err
	}
	defer dev.Close()
	return serveUnion(union, dev, request, nil)
}

// request describes the union to its server. The server's own user namespace is the mount's: what it does not map, the
// kernel shows as such where owners are real, and fusefs where they are not.
func (m UnionMount) request() (r openRequest, err error) {
	r = openRequest{Stack: m.Stack, SquashUID: m.SquashUID, SquashGID: m.SquashGID, NoACL: m.NoACL,
		NoXattrs: m.NoXattrs, AccessTimes: fusefs.AccessTimesOf(m.Mount.Flags), Tuning: m.Tuning, Target: m.Target, Debug: m.Debug}
	uids, err := idmap.OwnUIDs()
	if err != nil {
		return r, fmt.Errorf("mount a union: %w", err)
	}
	gids, err := idmap.OwnGIDs()
	if err != nil {
		return r, fmt.Errorf("mount a union: %w", err)
	}
	r.UIDs, r.GIDs, r.HostRoot = uids.Inside(), gids.Inside(), uids.IsEverything()
	if as := m.Stack.UpperAs; as != nil && as.Ownership == unionmount.HostOwned {
		r.UIDs, r.GIDs = nil, nil
	}
	return r, nil
}

// serveUnion serves a union until its mount is gone. A signal that asks the process to end has it unmounted, if it has
// a place in this process's view at all.
func serveUnion(union *unionmount.Union, dev *os.File, request openRequest, gate *fusefs.Gate) error {
	if request.Target != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		unmounting := context.AfterFunc(ctx, func() {
			if err := fusefs.Unmount(request.Target); err != nil {
				slog.Error("unmount on a signal", "error", err)
			}
		})
		defer unmounting()
	}
	return fusefs.Serve(dev, union, fusefs.Options{Gate: gate, Anonymous: request.Target == "", Target: request.Target,
		UIDs: request.UIDs, GIDs: request.GIDs, HostRoot: request.HostRoot,
		SquashUID: request.SquashUID, SquashGID: request.SquashGID, NoACL: request.NoACL, NoXattrs: request.NoXattrs,
		AccessTimes: request.AccessTimes, Tuning: request.Tuning, Debug: request.Debug})
}
