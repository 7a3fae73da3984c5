package fusefs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/unionmount"
)

const (
	// maxWrite is the largest read or write request the kernel sends.
	maxWrite = 1 << 20
	// maxBackground is how many read-ahead requests may be under way; the kernel's default of 12 keeps fast disks idle.
	maxBackground = 64
)

// capabilities are what the server can always do besides what go-fuse takes for granted.
const capabilities = fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_NO_OPENDIR_SUPPORT | fuse.CAP_DONT_MASK | fuse.CAP_SETXATTR_EXT |
	fuse.CAP_EXPORT_SUPPORT

// Options are for Serve; the zero value is a quiet server.
type Options struct {
	// Debug logs every request and reply.
	Debug bool
	// Logger takes what goes wrong; nil means slog.Default.
	Logger *slog.Logger
	// UIDs and GIDs are the ids that the mount's user namespace maps: none given means all of them. Files of others
	// are shown as root's, or where root is not mapped as those of the first id that is.
	UIDs, GIDs idmap.Ranges
	// SquashUID and SquashGID, if not nil, are whom all files are shown to belong to. On disk nothing changes.
	SquashUID, SquashGID *uint32
	// HostRoot says that the mount's root is the host's, and not only that of a user namespace.
	HostRoot bool
	// NoACL does without POSIX ACLs. With them, the kernel asks once for that of every file and directory that is used
	// by others than its owner.
	NoACL bool
	// AccessTimes is when files get new access times; the flags of the mount say else as soon as they change, if Target
	// is where it is mounted as this process sees it. Whether it is strict cannot change: then every read and
	// listing is a request.
	AccessTimes unionmount.AccessTimes
	Target      string
	// NoXattrs refuses to set xattrs, ACLs among them: EOPNOTSUPP.
	NoXattrs bool
	Tuning
	// Anonymous keeps from those who reach the mount which process serves it, as in a container.
	Anonymous bool
	// Gate, if not nil, holds up requests that change something.
	Gate *Gate
	// Counters, if not nil, count requests while the server runs.
	Counters *Counters
}

// Serve answers requests on dev, an open /dev/fuse that is mounted, until the mount is gone; first of all the
// kernel's INIT. dev stays the caller's.
func Serve(dev *os.File, u *unionmount.Union, opts Options) error {
	fd, err := duplicate(dev)
	if err != nil {
		return fmt.Errorf("serve filesystem: %w", err)
	}
	defer unix.Close(fd)
	opts.DirectIO = opts.DirectIO || opts.strict()
	if opts.Counters == nil {
		opts.Counters = &Counters{}
	}
	s := &server{RawFileSystem: fuse.NewDefaultRawFileSystem(), union: u, log: opts.logger(), counters: opts.Counters,
		hostRoot: opts.HostRoot, anonymous: opts.Anonymous, noXattrs: opts.NoXattrs, strict: opts.strict(),
		tuning: opts.Tuning, leases: opts.leases(),
		uids: newIDView(opts.UIDs, opts.SquashUID), gids: newIDView(opts.GIDs, opts.SquashGID)}
	u.SetAccessTimes(opts.AccessTimes)
	if opts.Target != "" {
		flags, stop, err := followFlags(opts.Target, u.SetAccessTimes)
		if err != nil {
			return fmt.Errorf("serve filesystem: follow the flags of its mount: %w", err)
		}
		defer stop()
		s.flags = flags
	}
	s.link = newTransport(fd, fuse.NewProtocolServer(s, s.mountOptions(opts)), opts.Counters)
	s.link.gate, s.link.most = opts.Gate, opts.readers()
	if !opts.Debug { // what goes past the protocol is not logged
		s.link.source = s
	}
	if err := s.link.serve(); err != nil {
		return fmt.Errorf("serve filesystem: %w", err)
	}
	return nil
}

// logger is what the server logs to.
func (opts Options) logger() *slog.Logger {
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	if opts.Debug {
		return log
	}
	return slog.New(newQuiet(log.Handler()))
}

// strict tells whether the server has to see everything that is read.
func (o *Options) strict() bool { return o.AccessTimes&unionmount.StrictAtime != 0 }

// duplicate returns a descriptor of dev that does not block in read(2): who waits does so in poll(2).
func duplicate(dev *os.File) (fd int, err error) {
	conn, err := dev.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = conn.Control(func(raw uintptr) { fd, dupErr = unix.FcntlInt(raw, unix.F_DUPFD_CLOEXEC, 3) })
	if err = errors.Join(err, dupErr); err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// server adapts a union to the requests of the kernel. What it does not override of the embedded default answers
// ENOSYS; api.go lists that.
type server struct {
	fuse.RawFileSystem
	union     *unionmount.Union
	log       *slog.Logger
	counters  *Counters
	link      *transport
	uids      idView
	gids      idView
	hostRoot  bool
	anonymous bool
	noXattrs  bool
	strict    bool        // every reading of anything is a request
	flags     *mountFlags // nil where they are not followed
	tuning    Tuning
	leases    leases
}

func (s *server) mountOptions(opts Options) *fuse.MountOptions {
	return &fuse.MountOptions{
		Name:                     "rcrun",
		MaxWrite:                 maxWrite,
		MaxBackground:            maxBackground,
		EnableSymlinkCaching:     !s.strict,
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        opts.capabilities(),
		EnableAcl:                !opts.NoACL,
		DisabledCapabilities:     fuse.CAP_PASSTHROUGH,
		Debug:                    opts.Debug,
		Logger:                   slog.NewLogLogger(s.log.Handler(), slog.LevelInfo),
		PanicHandler:             s.panicked,
	}
}

// panicked is the last resort for a mistake in the server.
func (s *server) panicked(cause any) fuse.Status {
	s.log.Error("panic while serving a request", "cause", cause, "stack", string(debug.Stack()))
	return fuse.EIO
}

func (s *server) String() string { return "rcrun" }

// node returns the node of a request. The kernel names only nodes that it was told of and has not forgotten.
func (s *server) node(id uint64) (*unionmount.Node, fuse.Status) {
	if id == fuse.FUSE_ROOT_ID {
		return s.union.Root(), fuse.OK
	}
	n, ok := s.union.Node(id)
	if !ok {
		s.log.Error("request for an unknown node", "node", id)
		return nil, fuse.Status(unix.ESTALE)
	}
	return n, fuse.OK
}
