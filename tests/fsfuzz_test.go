package tests

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestRandomCallsOfContainers has containers make random system calls about files, those that no honest program makes
// among them, and then looks at the host, the server and the store.
func TestRandomCallsOfContainers(t *testing.T) {
	for name, flags := range map[string][]string{
		"default": nil, "handles": {"--cap-add", "DAC_READ_SEARCH", "--security-opt", "seccomp=unconfined"},
		"privileged": {"--privileged"},
		"quota":      {"--storage-opt", "size=20m"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUserWithImage(t)
			secret := u.path("home", "secret")
			u.writeFile(secret, "of the host\n")
			args := append([]string{"run", "--network", "none", "--name", "c1"}, u.attackFlags("files")...)
			seed := fmt.Sprint(time.Now().UnixNano())
			r := u.try(append(append(args, flags...), "bb", "/attacker", seed, secret)...)
			if r.code != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, "done") {
				t.Errorf("seed %s: exit code %d, %q\n%.2000s", seed, r.code, r.stdout, r.stderr)
			}
			t.Log(r.stdout)
			if text := string(readFile(t, secret)); text != "of the host\n" {
				t.Errorf("seed %s: the file of the host has %q", seed, text)
			}
			if log := readFile(t, u.path("home", ".local", "share", "rcrun", "containers",
				u.run("inspect", "-f", "{{.Id}}", "c1"), "monitor.log")); len(log) > 0 {
				t.Errorf("seed %s: logged\n%.2000s", seed, log)
			}
			u.run("diff", "c1")
			u.run("commit", "c1", "committed")
			u.run("export", "-o", u.path("home", "c1.tar"), "c1")
			u.run("run", "--rm", "--network", "none", "committed", "true")
			u.prints("", "store", "check")
			u.run("rm", "c1")
		})
	}
}

// callFiles has some workers make random calls in one directory for a while. Arguments are the seed and a path for
// links to point to.
func callFiles(args []string) error {
	var seed uint64
	if _, err := fmt.Sscan(args[0], &seed); err != nil {
		return err
	}
	if err := os.MkdirAll("/fuzz/a/b", 0o777); err != nil {
		return err
	}
	if err := os.Symlink(args[1], "/fuzz/out"); err != nil {
		return err
	}
	const workers, calls = 4, 5000
	succeeded := make([]int, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			f := fileCaller{rand.New(rand.NewPCG(seed, uint64(i))), args[1]}
			for range calls {
				if f.call() == nil {
					succeeded[i]++
				}
			}
		})
	}
	all.Wait()
	for i, n := range succeeded {
		if n < calls/20 {
			return fmt.Errorf("of worker %d's calls only %d succeeded", i, n)
		}
	}
	fmt.Println("done", succeeded)
	return shortenFiles()
}

// shortenFiles cuts the long files of the container, which would take long to be committed. Links and ".." have led
// calls to other directories.
func shortenFiles() error {
	const enough = 1 << 20
	return filepath.WalkDir("/", func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == "/proc" || path == "/sys" || path == "/dev" {
			return filepath.SkipDir
		}
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && info.Size() > enough && path != "/attacker" &&
			path != "/bin/busybox" {
			err = os.Truncate(path, enough)
		}
		return err
	})
}

// fileCaller makes random calls. All errors are fine.
type fileCaller struct {
	*rand.Rand
	outside string // a path of the host's
}

// fileNames are the names that calls use: plain ones, those with a meaning in layers, and those at the limits.
var fileNames = []string{"a", "b", "c", "d", "out", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh.", ".wh..wh.",
	".wh..wh..wh.a", ".wh..", "..", ".", "",
	".fuse_hidden", ".nfs0001", ".rcrun", "x\ny", "\x01\x7f\xff", " ", strings.Repeat("n", 255),
	strings.Repeat("n", 256), ".wh." + strings.Repeat("n", 251), ".wh." + strings.Repeat("n", 252)}

// fileXattrs are names of extended attributes that mean something to the server, to other engines or to the kernel.
var fileXattrs = []string{"user.note", "user.rcrun.server", "user.rcrun.data", "user.rcrun.redirect", "user.rcrun.stat",
	"user.rcrun.x.security.capability", "user.overlay.opaque",
	"user.overlay.redirect", "user.overlay.metacopy", "user.containers.override_stat", "user.fuseoverlayfs.opaque",
	"user.fuseoverlayfs.override_stat", "trusted.overlay.opaque",
	"security.capability", "security.selinux", "system.posix_acl_access", "system.posix_acl_default",
	"user." + strings.Repeat("x", 250), "user." + strings.Repeat("x", 251), "user.", "nothing"}

func (f fileCaller) one(of []string) string { return of[f.IntN(len(of))] }

func (f fileCaller) path() string {
	path := "/fuzz"
	for range 1 + f.IntN(3) {
		names := fileNames
		if f.IntN(3) > 0 {
			names = fileNames[:4]
		}
		path += "/" + f.one(names)
	}
	return path
}

// size is near a border of pages, of 32-bit numbers or of what files can have.
func (f fileCaller) size() int64 {
	border := []int64{0, 1, 4096, 1 << 20, 1<<31 - 1, 1 << 32, 1 << 40, 1<<63 - 4096}[f.IntN(8)]
	return border + f.Int64N(3) - 1
}

func (f fileCaller) call() error {
	calls := []func() error{f.make, f.make, f.remove, f.rename, f.rename, f.link, f.changeXattr, f.changeMeta,
		f.useFile, f.useFile, f.useHandle, f.list, f.unnamed}
	return calls[f.IntN(len(calls))]()
}

func (f fileCaller) make() error {
	path, mode := f.path(), f.Uint32N(0o10000)
	switch f.IntN(6) {
	case 0, 1:
		return unix.Mkdir(path, mode)
	case 2:
		return unix.Mknod(path, []uint32{unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK,
			unix.S_IFREG}[f.IntN(5)]|mode, int(f.Uint32N(2)*unix.S_IFMT))
	default:
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, mode)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(path))
		return err
	}
}

func (f fileCaller) remove() error {
	if f.IntN(2) == 0 {
		return unix.Rmdir(f.path())
	}
	return unix.Unlink(f.path())
}

func (f fileCaller) rename() error {
	return unix.Renameat2(unix.AT_FDCWD, f.path(), unix.AT_FDCWD, f.path(),
		uint(f.Uint32N(8)|f.Uint32N(2)<<f.Uint32N(32)))
}

func (f fileCaller) link() error {
	switch f.IntN(3) {
	case 0:
		return unix.Symlink(f.one([]string{f.outside, "a", "../..", "/proc/self/fd/0", "/",
			strings.Repeat("l/", 2047)}), f.path())
	default:
		return unix.Linkat(unix.AT_FDCWD, f.path(), unix.AT_FDCWD, f.path(), unix.AT_SYMLINK_FOLLOW*f.IntN(2))
	}
}

func (f fileCaller) changeXattr() error {
	path, name := f.path(), f.one(fileXattrs)
	value := make([]byte, []int{0, 1, 16, 4096, 65536, 65537}[f.IntN(6)])
	switch f.IntN(4) {
	case 0:
		return unix.Lremovexattr(path, name)
	case 1:
		_, err := unix.Lgetxattr(path, name, value)
		return err
	case 2:
		_, err := unix.Llistxattr(path, value)
		return err
	default:
		return unix.Lsetxattr(path, name, value, f.IntN(3))
	}
}

func (f fileCaller) changeMeta() error {
	path := f.path()
	switch f.IntN(4) {
	case 0:
		return unix.Fchmodat(unix.AT_FDCWD, path, f.Uint32N(0o10000), 0)
	case 1:
		return unix.Lchown(path, f.IntN(70000)-1, f.IntN(70000)-1)
	case 2:
		return unix.Truncate(path, f.size())
	default:
		times := []unix.Timespec{{Sec: f.size(), Nsec: f.Int64N(1 << 31)}, {Nsec: unix.UTIME_OMIT}}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW)
	}
}

// useFile opens a file in some way, but not one that waits, and does some things with it.
func (f fileCaller) useFile() error {
	flags := []int{0, unix.O_CREAT, unix.O_TRUNC, unix.O_APPEND, unix.O_DIRECT, unix.O_EXCL | unix.O_CREAT,
		unix.O_DIRECTORY, unix.O_PATH, unix.O_NOATIME, unix.O_SYNC}[f.IntN(10)]
	fd, err := unix.Open(f.path(), f.IntN(3)|flags|unix.O_NONBLOCK|unix.O_CLOEXEC, f.Uint32N(0o10000))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for range f.IntN(4) {
		err = errors.Join(err, f.useDescriptor(fd))
	}
	return err
}

func (f fileCaller) useDescriptor(fd int) error {
	buf := make([]byte, 1+f.IntN(9000))
	switch f.IntN(8) {
	case 0:
		_, err := unix.Pwrite(fd, buf, f.size()%(1<<33)) // more would be counted as used by filesystems without holes
		return err
	case 1:
		_, err := unix.Pread(fd, buf, f.size())
		return err
	case 2:
		return unix.Fallocate(fd, f.Uint32N(128), f.size()%(1<<22), f.size()%(1<<22))
	case 3:
		_, err := unix.Seek(fd, f.size(), f.IntN(6)) // data and holes, too
		return err
	case 4:
		return f.control(fd)
	case 5:
		return errors.Join(unix.Fsync(fd), unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
	case 6:
		return unix.Ftruncate(fd, f.size()%(1<<33))
	default:
		_, err := unix.CopyFileRange(fd, nil, fd, nil, int(f.size()%(1<<20)), 0)
		return err
	}
}

// control makes an ioctl: one that a filesystem may know, or any.
func (f fileCaller) control(fd int) error {
	known := []uint32{unix.FS_IOC_GETFLAGS, unix.FS_IOC_SETFLAGS, unix.FICLONE, unix.TIOCINQ, unix.BLKROGET,
		unix.FS_IOC_ADD_ENCRYPTION_KEY, unix.FS_IOC_ENABLE_VERITY}
	request := f.Uint32()
	if f.IntN(4) > 0 {
		request = known[f.IntN(len(known))]
	}
	var argument [4096]byte
	argument[0], argument[1] = byte(f.Uint32()), byte(f.Uint32())
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&argument)))
	if errno != 0 {
		return errno
	}
	return nil
}

// useHandle opens a file by its handle, with some bits of it changed.
func (f fileCaller) useHandle() error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, f.path(), 0)
	if err != nil {
		return err
	}
	bytes := handle.Bytes()
	for range f.IntN(3) {
		bytes[f.IntN(len(bytes))] ^= 1 << f.IntN(8)
	}
	root, err := unix.Open("/fuzz", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	fd, err := unix.OpenByHandleAt(root, unix.NewFileHandle(handle.Type()+int32(f.IntN(10)/9), bytes),
		unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f.useDescriptor(fd)
}

func (f fileCaller) list() error {
	fd, err := unix.Open(filepath.Dir(f.path()), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.ReadDirent(fd, make([]byte, 4096))
	return err
}

// unnamed makes a file without a name and may give it one.
func (f fileCaller) unnamed() error {
	fd, err := unix.Open(filepath.Dir(f.path()), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, f.Uint32N(0o10000))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := f.useDescriptor(fd); err != nil {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", fd), unix.AT_FDCWD, f.path(), unix.AT_SYMLINK_FOLLOW)
}
