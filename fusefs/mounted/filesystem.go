package mounted

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/fusefs"
	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/internal/eintr"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/strictjson"
	"github.com/rcrun/rcrun/unionmount"
)

// Filesystem is a union that is mounted without a container.
type Filesystem struct {
	Union  unionmount.Options
	Target string // where to mount it; absolute
	Mount  mount.Options
	Debug  bool // log every request; only in the foreground, where a user can read the log

	SquashUID, SquashGID *uint32 // as fusefs.Options has them
	NoACL, NoXattrs      bool
	fusefs.Tuning
}

// Start mounts the filesystem and returns when it can be used. Its server is a process of its own, a stage of program
// (see stage.Start), which ends with the mount. It keeps none of the caller's files open, so a process that waits for
// the end of the caller's output need not wait for the unmounting.
func (f Filesystem) Start(ctx context.Context, program func() *os.File) error {
	request, err := f.request()
	if err != nil {
		return err
	}
	if err := strictjson.CheckText(request); err != nil {
		return fmt.Errorf("mount a union: %w", err)
	}
	cmd, conn, err := stage.Start(program, Stage, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	server := Control{conn}
	err = conn.Within(ctx, func() error {
		if err := server.Open(request); err != nil {
			return err
		}
		return server.Ready()
	})
	if err == nil {
		err = f.mountFor(server)
	}
	if err != nil {
		conn.Close() // the server ends with the error, or with the connection
		cmd.Wait()
		return err
	}
	go cmd.Wait() // the server is reaped here, or by its adopter should this process end first
	return nil
}

// mountFor mounts the filesystem and hands the connection to its server, which ends with ours to it on an error.
func (f Filesystem) mountFor(server Control) error {
	dev, err := mount.Mount(f.Target, f.Mount)
	if err != nil {
		return err
	}
	err = server.Serve(dev)
	dev.Close() // as long as it is open here, users of the mount would wait for a server that has died
	if err == nil {
		err = f.awaitAnswer()
	}
	if err != nil {
		return errors.Join(err, mount.Unmount(f.Target))
	}
	return nil
}

// awaitAnswer returns when the server has answered a request.
func (f Filesystem) awaitAnswer() error {
	var st unix.Statfs_t
	if err := eintr.Repeat(func() error { return unix.Statfs(f.Target, &st) }); err != nil {
		return fmt.Errorf("wait for the filesystem at %s: %w", f.Target, err)
	}
	return nil
}

// Serve mounts the filesystem and serves it in this process until it is unmounted, as it is when ctx
// is cancelled.
func (f Filesystem) Serve(ctx context.Context) error {
	request, err := f.request()
	if err != nil {
		return err
	}
	union, err := unionmount.Open(f.Union)
	if err != nil {
		return err
	}
	defer union.Close()
	dev, err := mount.Mount(f.Target, f.Mount)
	if err != nil {
		return err
	}
	defer dev.Close()
	return serve(ctx, union, dev, request, nil)
}

// request describes the filesystem to its server. The user namespace of the server is that of the mount: the kernel
// shows the ids that it does not map as what they are where owners are real, and fusefs does where they are not.
func (f Filesystem) request() (r Request, err error) {
	r = Request{Union: f.Union, SquashUID: f.SquashUID, SquashGID: f.SquashGID, NoACL: f.NoACL, NoXattrs: f.NoXattrs,
		AccessTimes: fusefs.AccessTimesOf(f.Mount.Flags), Tuning: f.Tuning, Target: f.Target, Debug: f.Debug}
	uids, err := idmap.OwnUIDs()
	if err != nil {
		return r, fmt.Errorf("mount a union: %w", err)
	}
	gids, err := idmap.OwnGIDs()
	if err != nil {
		return r, fmt.Errorf("mount a union: %w", err)
	}
	r.UIDs, r.GIDs, r.HostRoot = uids.Inside(), gids.Inside(), uids.IsEverything()
	if as := f.Union.UpperAs; as != nil && as.Ownership == unionmount.HostOwned {
		r.UIDs, r.GIDs = nil, nil
	}
	return r, nil
}
