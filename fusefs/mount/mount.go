package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/process"
)

// Options say how a filesystem is mounted.
type Options struct {
	// Source is shown as the source of the mount.
	Source string
	// Subtype is the second half of the type that is shown, fuse.SUBTYPE.
	Subtype string
	// Flags are those of mount(2): unix.MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, ...
	Flags uintptr
	// AllowOther lets users other than UID use the mount.
	AllowOther bool
	// DefaultPermissions makes the kernel check permissions.
	DefaultPermissions bool
	// MaxRead bounds a read request in bytes. 0 leaves that to the kernel.
	MaxRead int
	// Context is the SELinux label of all files; empty for none.
	Context string
	// UID and GID are the owner of the mount, in ids of the calling process.
	UID, GID uint32
}

// Mount mounts a FUSE connection on a directory and returns the connection, for Serve. It belongs to the user
// namespace of the calling process, and its requests carry the ids of that namespace. If the process may not mount,
// fusermount3 mounts for the user.
func Mount(target string, o Options) (*os.File, error) {
	dev, err := mountDirect(target, o)
	if !errors.Is(err, unix.EPERM) {
		return dev, err
	}
	helper, helperErr := fusermount()
	if helperErr != nil {
		return nil, fmt.Errorf("%w (and %w)", err, helperErr)
	}
	return mountThrough(helper, target, o)
}

// Remount changes the flags of mount(2) of a mount. The read-only flag holds for the filesystem as a whole. Nothing
// else can be changed while it is mounted; mount(8) repeats all options, and the others are ignored. Only root may
// remount, because no helper does it for users. When Remount returns, the server goes by the new flags.
func Remount(target string, flags uintptr) error {
	if err := unix.Mount("", target, "", flags|unix.MS_REMOUNT, ""); err != nil {
		return &os.PathError{Op: "remount", Path: target, Err: err}
	}
	ServerOf(context.Background(), target)
	return nil
}

// Unmount undoes Mount, by the same means. A mount that is in use stays until its last user has gone.
func Unmount(target string) error { return unmount(target, unix.MNT_DETACH, "-z") }

const (
	// serverAnswers bounds how long UnmountAndWait waits for the server to name itself, and serverEnds how long it
	// waits for its end. The end does not come while other mount namespaces have the mount, too.
	serverAnswers = time.Second
	serverEnds    = 2 * time.Second
)

// UnmountAndWait is Unmount that returns when the server has ended, unless the mount is in use. Until then the server
// has files of the layers open, and filesystems with layers cannot be unmounted. The server itself must not call it.
func UnmountAndWait(ctx context.Context, target string) error {
	server := ServerOf(ctx, target)
	if unmount(target, 0) != nil { // it is in use, or Unmount meets the same error and returns it
		return Unmount(target)
	}
	_, err := server.Wait(ctx, serverEnds)
	return err
}

// ServerOf returns the process that serves the filesystem mounted at target. It returns none if the server is dead,
// does not answer, or is another program.
func ServerOf(ctx context.Context, target string) process.ID {
	ctx, cancel := context.WithTimeout(ctx, serverAnswers)
	defer cancel()
	server, err := ask[process.ID](ctx, target, ServerXattr)
	if err != nil {
		return process.ID{}
	}
	return server
}

// unmount unmounts with flags of umount2(2), or with arguments of fusermount that mean the same.
func unmount(target string, flags int, args ...string) error {
	err := unix.Unmount(target, flags|unix.UMOUNT_NOFOLLOW)
	if err == nil {
		return nil
	}
	if err != unix.EPERM {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	helper, helperErr := fusermount()
	if helperErr != nil {
		return fmt.Errorf("unmount %s: %w (and %w)", target, err, helperErr)
	}
	cmd := exec.Command(helper, append(append([]string{"-u"}, args...), "--", target)...)
	cmd.Dir = "/" // which cannot be the mount
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unmount %s: %s", target, said(text, err))
	}
	return nil
}

func mountDirect(target string, o Options) (*os.File, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	dev := os.NewFile(uintptr(fd), "/dev/fuse")
	data := append([]string{fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, o.UID, o.GID)}, o.data()...)
	if err := unix.Mount(o.Source, target, "fuse."+o.Subtype, o.Flags, strings.Join(data, ",")); err != nil {
		dev.Close()
		return nil, &os.PathError{Op: "mount", Path: target, Err: err}
	}
	return dev, nil
}

// data returns the options for the FUSE filesystem, apart from mount(2)'s flags.
func (o Options) data() []string {
	var data []string
	if o.AllowOther {
		data = append(data, "allow_other")
	}
	if o.DefaultPermissions {
		data = append(data, "default_permissions")
	}
	if o.MaxRead > 0 {
		data = append(data, fmt.Sprintf("max_read=%d", o.MaxRead))
	}
	if o.Context != "" {
		data = append(data, fmt.Sprintf("context=%q", o.Context))
	}
	return data
}

// fusermount returns the path of the setuid program that mounts for users.
func fusermount() (string, error) {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no fusermount3; it is in the package fuse3")
}

// mountThrough lets fusermount mount. fusermount opens the device and passes it over the socket that _FUSE_COMMFD
// names.
func mountThrough(helper, target string, o Options) (*os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "fusermount")
	const inherited = 3 // the first of ExtraFiles
	cmd := exec.Command(helper, "-o", o.helperOptions(), "--", target)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(os.Environ(), fmt.Sprintf("_FUSE_COMMFD=%d", inherited))
	text, err := cmd.CombinedOutput()
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("mount %s: %s", target, said(text, err))
	}
	dev, err := receiveFile(pair[0])
	if err != nil {
		return nil, fmt.Errorf("mount %s: receive connection from %s: %w", target, helper, err)
	}
	return dev, nil
}

// said returns what a program printed before it ended with err.
func said(text []byte, err error) string {
	if message := strings.TrimSpace(string(text)); message != "" {
		return message
	}
	return err.Error()
}

// helperOptions returns the options in fusermount's syntax. fusermount itself refuses flags that only root may set.
func (o Options) helperOptions() string {
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	options := append(o.data(), "fsname="+escape.Replace(o.Source), "subtype="+escape.Replace(o.Subtype))
	for _, f := range helperFlags {
		if o.Flags&f.flag != 0 {
			options = append(options, f.name)
		}
	}
	return strings.Join(options, ",")
}

// helperFlags are the flags whose names fusermount knows. It sets nosuid and nodev by itself. Old versions do not
// know nosymfollow. Only new versions know the other options for access times, which are left out: the server obeys
// them in any case.
var helperFlags = []struct {
	flag uintptr
	name string
}{
	{unix.MS_RDONLY, "ro"},
	{unix.MS_NOEXEC, "noexec"},
	{unix.MS_NOATIME, "noatime"},
	{unix.MS_NOSYMFOLLOW, "nosymfollow"},
	{unix.MS_SYNCHRONOUS, "sync"},
	{unix.MS_DIRSYNC, "dirsync"},
}

// receiveFile receives one file that is passed over a socket.
func receiveFile(sock int) (*os.File, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sock, make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, errors.New("no file was passed")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "/dev/fuse"), nil
}
