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
	// maxBackground bounds the read-ahead requests under way. The kernel's default of 12 leaves fast disks idle.
	maxBackground = 64
)

// capabilities are those that the server always has, besides the ones that go-fuse asks for by itself.
const capabilities = fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_NO_OPENDIR_SUPPORT | fuse.CAP_DONT_MASK |
	fuse.CAP_SETXATTR_EXT | fuse.CAP_EXPORT_SUPPORT

// Options are for Serve; the zero value is a quiet server.
type Options struct {
	// Debug logs every request and reply.
	Debug bool
	// Logger gets the messages about errors; nil means slog.Default.
	Logger *slog.Logger
	// UIDs and GIDs are the ids that the mount's user namespace maps. None given means all ids. Files of other owners
	// are shown as root's, or, if root is not mapped, as those of the first id that is.
	UIDs, GIDs idmap.Ranges
	// SquashUID and SquashGID, if not nil, are shown as the owner of all files. On disk nothing changes.
	SquashUID, SquashGID *uint32
	// HostRoot says that root in the mount is root of the host, and not only of a user namespace.
	HostRoot bool
	// NoACL switches POSIX ACLs off. With them, the kernel asks once for the ACL of every file and directory that
	// users other than its owner use.
	NoACL bool
	// AccessTimes says when access times are set. If Target is the place of the mount as this process sees it, the
	// flags of the mount replace AccessTimes as soon as they change. Only whether it is strict cannot change: if it
	// is, every read and every listing is a request.
	AccessTimes unionmount.AccessTimes
	Target      string
	// NoXattrs refuses to set xattrs, including ACLs: EOPNOTSUPP.
	NoXattrs bool
	Tuning
	// Anonymous does not tell users of the mount which process serves it. It is for containers.
	Anonymous bool
	// Gate, if not nil, holds up requests that change something.
	Gate *Gate
	// Counters, if not nil, count requests while the server runs.
	Counters *Counters
}

// Serve answers requests on dev, an open /dev/fuse that is mounted, until the mount is gone. The first is the
// kernel's INIT. The caller keeps dev, and closes it.
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
	if !opts.Debug { // go-fuse does not log what it does not answer
		s.link.source = s
	}
	if err := s.link.serve(); err != nil {
		return fmt.Errorf("serve filesystem: %w", err)
	}
	return nil
}

// logger returns the logger of the server.
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

// strict tells whether every read must be a request.
func (o *Options) strict() bool { return o.AccessTimes&unionmount.StrictAtime != 0 }

// duplicate returns a descriptor of dev that does not block in read(2): readers wait in poll(2).
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

// server adapts a union to the requests of the kernel. Methods of the embedded default that it does not override
// answer ENOSYS; api.go lists them.
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
	strict    bool        // every read and listing is a request
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

// panicked answers a request in which the server has panicked.
func (s *server) panicked(cause any) fuse.Status {
	s.log.Error("panic while serving a request", "cause", cause, "stack", string(debug.Stack()))
	return fuse.EIO
}

func (s *server) String() string { return "rcrun" }

// node returns the node of a request. The kernel names only nodes that it knows from an answer and has not forgotten.
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
