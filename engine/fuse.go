package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// fuseServer is the monitor's view of the stage.
type fuseServer struct {
	cmd  *exec.Cmd
	conn mounted.Control
	done chan struct{} // closed when it has ended
	err  error         // how it died, once done is closed; nil for one that was stopped, however that went

	mu       sync.Mutex
	stopping bool // guarded by mu
}

// serverEndTime is how long the server may take to close its files after its mount has gone away. On a slow disk it
// may have much to write.
const serverEndTime = 10 * time.Second

// reviveTime is how long it may take before it is continued, should it be stopped (SIGSTOP).
const reviveTime = time.Second

// startFuse starts the server of a union for a mount in a user namespace with the given map.
func startFuse(union unionmount.Options, ids rootless.Map, log *os.File) (*fuseServer, error) {
	cmd, conn, err := stage.StartOf(nil, mounted.Stage, log)
	if err != nil {
		return nil, err
	}
	server := watchFuse(cmd, mounted.Control{Conn: conn})
	request := mounted.Request{Union: union, UIDs: ids.UIDs.Inside(), GIDs: ids.GIDs.Inside()}
	if err := server.conn.Open(request); err != nil {
		server.stop(0)
		return nil, err
	}
	return server, nil
}

// watchFuse waits for the end of a server that has been started. An error is the server's death only if nobody had
// asked it to end: one that ends late, or by force, has served the container to its end.
func watchFuse(cmd *exec.Cmd, conn mounted.Control) *fuseServer {
	s := &fuseServer{cmd: cmd, conn: conn, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		err := cmd.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.stopping {
			s.err = err
		}
	}()
	return s
}

// serve hands the connection over. Our copy is closed: as long as one is open, the kernel would let a container wait
// for ever for a server that died.
func (s *fuseServer) serve(ctx context.Context, dev *os.File) error {
	defer dev.Close()
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	if err := s.conn.Ready(); err != nil {
		return err
	}
	return s.conn.Serve(dev)
}

// stop waits for the server to end by itself, as it does when the mount goes away, and kills it after patience.
func (s *fuseServer) stop(patience time.Duration) {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.conn.Close()
	if s.endsWithin(min(patience, reviveTime)) {
		return
	}
	s.cmd.Process.Signal(syscall.SIGCONT) // an error of this or of killing means that it has ended
	if !s.endsWithin(patience - reviveTime) {
		slog.Error("the filesystem server does not end, and is killed", "patience", patience)
		s.cmd.Process.Kill()
		<-s.done
	}
}

// endsWithin waits for the end of the server, and tells whether it came in time.
func (s *fuseServer) endsWithin(patience time.Duration) bool {
	select {
	case <-s.done:
		return true
	case <-time.After(patience):
		return false
	}
}

// The kinds of root filesystem that the sandbox can mount.
const (
	rootFuse    = "fuse"    // fuseRoot
	rootBind    = "bind"    // bindRoot
	rootOverlay = "overlay" // overlayRoot
)

// Roots are the factories that the sandbox stage is given.
func Roots() map[string]runtime.RootFactory {
	return map[string]runtime.RootFactory{
		rootFuse:    func(config json.RawMessage) (runtime.Root, error) { return decodeRoot[fuseRoot](config) },
		rootBind:    func(config json.RawMessage) (runtime.Root, error) { return decodeRoot[bindRoot](config) },
		rootOverlay: func(config json.RawMessage) (runtime.Root, error) { return decodeRoot[overlayRoot](config) },
	}
}

func decodeRoot[R runtime.Root](config json.RawMessage) (runtime.Root, error) {
	var root R
	if err := json.Unmarshal(config, &root); err != nil {
		return nil, fmt.Errorf("decode root filesystem: %w", err)
	}
	return root, nil
}

// fuseRoot is a FUSE mount whose server runs elsewhere.
type fuseRoot struct{ UID, GID uint32 } // ids that the namespace maps, whose the mount is

// Mount opens a connection in the sandbox's user namespace, which is what makes the requests carry the container's
// ids, and mounts it. allow_other lets every user of that namespace in, default_permissions has the kernel check them.
func (r fuseRoot) Mount(target string) (*os.File, error) {
	dev, err := mount.Mount(target, mount.Options{Source: "rcrun", Subtype: "rcrun", Flags: unix.MS_NODEV,
		AllowOther: true, DefaultPermissions: true, UID: r.UID, GID: r.GID})
	if err != nil {
		return nil, wire.Errorf("sandbox", "mount the root filesystem", target, err)
	}
	return dev, nil
}

// bindRoot is a directory of the user's.
type bindRoot struct{ Dir string }

// Mount binds the directory with all that is mounted below it.
func (r bindRoot) Mount(target string) (*os.File, error) {
	if err := unix.Mount(r.Dir, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return nil, wire.Errorf("sandbox", "bind the root filesystem", r.Dir, err)
	}
	return nil, nil
}
