package tests

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// bareEnv has a copy of the tests serve a bare filesystem: "SOURCE:TARGET", and ":devices" for one with whiteout
// devices.
const bareEnv = "RCRUN_BARE"

// serveBare shows a directory as a filesystem that can do no more than such of networks and clusters often can: no
// xattrs, no change of owner, no devices, no flags of rename. It returns when that is unmounted.
func serveBare(what string) int {
	source, rest, _ := strings.Cut(what, ":")
	target, _, devices := strings.Cut(rest, ":")
	var st syscall.Stat_t
	if err := syscall.Stat(source, &st); err != nil {
		fmt.Println(err)
		return 1
	}
	root := &fs.LoopbackRoot{Path: source, Dev: st.Dev}
	node := &bareNode{LoopbackNode: fs.LoopbackNode{RootData: root}, devices: devices, held: -1}
	root.RootNode = node
	server, err := fs.Mount(target, node, &fs.Options{MountOptions: fuse.MountOptions{FsName: "bare", Name: "bare"}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	server.Wait()
	return 0
}

// mountBare mounts a bare filesystem over a directory of the user's until the test ends, and returns where its files
// are.
func (u *user) mountBare(target string, more ...string) (source string) {
	u.t.Helper()
	source = u.path("bare")
	for _, dir := range []string{source, target} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			u.t.Fatal(err)
		}
	}
	server := exec.Command("/proc/self/exe")
	server.Env = append(os.Environ(), bareEnv+"="+strings.Join(append([]string{source, target}, more...), ":"))
	out, err := server.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		u.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		u.t.Fatalf("the bare filesystem is not served: %q, %v", line, err)
	}
	u.t.Cleanup(func() {
		u.leaveContainers()
		if out, err := exec.Command("fusermount3", "-u", target).CombinedOutput(); err != nil {
			u.t.Errorf("unmount the bare filesystem: %v: %s", err, out)
			syscall.Kill(server.Process.Pid, syscall.SIGKILL)
		}
		server.Wait()
	})
	return source
}

// bareNode is a file of a bare filesystem.
type bareNode struct {
	fs.LoopbackNode
	devices bool // whiteouts can be made

	mu   sync.Mutex // guards held
	held int        // the file, from when a name of it was removed; else -1
}

// WrapChild has all files be such ones.
func (n *bareNode) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &bareNode{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, devices: n.devices, held: -1}
}

func (n *bareNode) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.ENOTSUP
}

func (n *bareNode) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.ENOTSUP
}

func (n *bareNode) Listxattr(context.Context, []byte) (uint32, syscall.Errno) {
	return 0, syscall.ENOTSUP
}

func (n *bareNode) Removexattr(context.Context, string) syscall.Errno { return syscall.ENOTSUP }

func (n *bareNode) Mknod(ctx context.Context, name string, mode, rdev uint32, out *fuse.EntryOut) (*fs.Inode,
	syscall.Errno) {
	if mode&syscall.S_IFMT != syscall.S_IFREG && !(n.devices && mode&syscall.S_IFMT == syscall.S_IFCHR && rdev == 0) {
		return nil, syscall.EPERM
	}
	return n.LoopbackNode.Mknod(ctx, name, mode, rdev, out)
}

// slowName is what a file is renamed to slowly: the last that a union with a quota does in its work directory.
const slowName = "usage"

func (n *bareNode) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string,
	flags uint32) syscall.Errno {
	if flags != 0 {
		return syscall.EINVAL
	}
	if newName == slowName {
		time.Sleep(500 * time.Millisecond)
	}
	if to, ok := newParent.(*bareNode); ok {
		to.hold(newName)
	}
	return n.LoopbackNode.Rename(ctx, name, newParent, newName, flags)
}

func (n *bareNode) Unlink(ctx context.Context, name string) syscall.Errno {
	n.hold(name)
	return n.LoopbackNode.Unlink(ctx, name)
}

// hold opens a file that is about to lose a name: it may be in use, and then is to live on.
func (n *bareNode) hold(name string) {
	child := n.GetChild(name)
	if child == nil {
		return
	}
	node, ok := child.Operations().(*bareNode)
	if !ok {
		return
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	if node.held >= 0 {
		return
	}
	path := filepath.Join(n.RootData.Path, n.Path(nil), name)
	if fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
		node.held = fd
	}
}

// heldPath names the file if it lost a name.
func (n *bareNode) heldPath() (path string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("/proc/self/fd/%d", n.held), n.held >= 0
}

func (n *bareNode) OnForget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held >= 0 {
		unix.Close(n.held)
		n.held = -1
	}
}

func (n *bareNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	path, held := n.heldPath()
	if !held {
		return n.LoopbackNode.Open(ctx, flags)
	}
	fd, err := syscall.Open(path, int(flags)&^(syscall.O_APPEND|syscall.O_NOFOLLOW), 0)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	return fs.NewLoopbackFile(fd), 0, 0
}

func (n *bareNode) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	path, held := n.heldPath()
	if !held {
		return n.LoopbackNode.Getattr(ctx, f, out)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStat(&st)
	return 0
}

func (n *bareNode) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	_, uid := in.GetUID()
	_, gid := in.GetGID()
	if uid || gid {
		return syscall.EPERM
	}
	path, held := n.heldPath()
	if !held {
		return n.LoopbackNode.Setattr(ctx, f, in, out)
	}
	if err := setHeld(path, in); err != nil {
		return fs.ToErrno(err)
	}
	return n.Getattr(ctx, f, out)
}

func setHeld(path string, in *fuse.SetAttrIn) error {
	if mode, ok := in.GetMode(); ok {
		if err := syscall.Chmod(path, mode); err != nil {
			return err
		}
	}
	if size, ok := in.GetSize(); ok {
		if err := syscall.Truncate(path, int64(size)); err != nil {
			return err
		}
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if atime, ok := in.GetATime(); ok {
		times[0] = unix.NsecToTimespec(atime.UnixNano())
	}
	if mtime, ok := in.GetMTime(); ok {
		times[1] = unix.NsecToTimespec(mtime.UnixNano())
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0)
}

// TestBareFilesystem checks that it refuses what it is there to refuse.
func TestBareFilesystem(t *testing.T) {
	u := newUser(t)
	dir := u.path("mnt")
	u.mountBare(dir)
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]error{
		"setxattr": unix.Setxattr(path, "user.x", []byte("x"), 0), "removexattr": unix.Removexattr(path, "user.x"),
	} {
		if got != unix.EOPNOTSUPP {
			t.Errorf("%s: %v", what, got)
		}
	}
	for what, got := range map[string]error{
		"chown": os.Chown(path, os.Getuid(), os.Getgid()), "mknod": unix.Mknod(path+"2", unix.S_IFCHR, 0),
	} {
		if !os.IsPermission(got) {
			t.Errorf("%s: %v", what, got)
		}
	}
	if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, path+"2", unix.RENAME_NOREPLACE); err != unix.EINVAL {
		t.Errorf("rename without replacing: %v", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 1 || f.Chmod(0o640) != nil || f.Truncate(0) != nil {
		t.Errorf("an open file without a name: %v, %v", info, err)
	}
}
