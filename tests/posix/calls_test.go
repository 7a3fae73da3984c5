package posix

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is what a line of a script can do.
type call struct {
	min int // arguments that it needs
	do  func(p *process, args []string) (string, error)
}

// plain makes a call of what returns nothing but an error.
func plain(min int, do func(args []string) error) call {
	return call{min, func(_ *process, args []string) (string, error) { return "", do(args) }}
}

// calls are the system calls by the names that scripts have for them. Paths are relative to the root of the filesystem;
// modes are as in Go, flags are names joined by "|", and fd arguments are the names that openfd gave.
var calls map[string]call

func init() {
	calls = map[string]call{
		"umask": plain(1, func(a []string) error { unix.Umask(number(a[0])); return nil }),
		"mkdir": plain(2, func(a []string) error { return unix.Mkdir(a[0], uint32(number(a[1]))) }),
		"mknod": plain(3, func(a []string) error {
			return unix.Mknod(a[0], typeBits[a[1]]|uint32(number(a[2])),
				number(a[3]))
		}),
		"unlink": plain(1, func(a []string) error { return unix.Unlink(a[0]) }),
		"rmdir":  plain(1, func(a []string) error { return unix.Rmdir(a[0]) }),
		"rename": plain(2, func(a []string) error {
			return unix.Renameat2(unix.AT_FDCWD, a[0], unix.AT_FDCWD, a[1], uint(flags(a[2])))
		}),
		"link":     plain(2, func(a []string) error { return unix.Link(a[0], a[1]) }),
		"symlink":  plain(2, func(a []string) error { return unix.Symlink(a[0], a[1]) }),
		"chmod":    plain(2, func(a []string) error { return unix.Chmod(a[0], uint32(number(a[1]))) }),
		"chown":    plain(3, func(a []string) error { return unix.Chown(a[0], number(a[1]), number(a[2])) }),
		"lchown":   plain(3, func(a []string) error { return unix.Lchown(a[0], number(a[1]), number(a[2])) }),
		"truncate": plain(2, func(a []string) error { return unix.Truncate(a[0], int64(number(a[1]))) }),
		"access": plain(2, func(a []string) error {
			return unix.Faccessat2(unix.AT_FDCWD, a[0], uint32(number(a[1])), unix.AT_EACCESS)
		}),
		"utimes":   plain(3, utimes),
		"setxattr": plain(3, func(a []string) error { return unix.Lsetxattr(a[0], a[1], []byte(a[2]), flags(a[3])) }),
		"rmxattr":  plain(2, func(a []string) error { return unix.Lremovexattr(a[0], a[1]) }),
		"setacl": plain(3, func(a []string) error {
			return unix.Setxattr(a[0], aclXattrs[a[1]], encodeACL(a[2]),
				0)
		}),
		"create": plain(2, create),
		"open":   plain(2, openOnly),
		"bind":   plain(1, bind),
		"write":  plain(3, func(a []string) error { return writeTo(a[0], a[1], a[2], 0) }),
		"append": plain(2, func(a []string) error { return writeTo(a[0], "0", a[1], unix.O_APPEND) }),
		"wait":   plain(0, func([]string) error { return waitForTick() }),

		"readlink": {1, readlink}, "getxattr": {2, getxattr}, "listxattr": {1, listxattr}, "getacl": {2, getACL},
		"stat": {1, stat}, "lstat": {1, lstat}, "ls": {1, list}, "read": {1, read}, "mark": {1, mark},
		"changed": {1, changed},

		"openfd": {3, openFD}, "tmpfile": {3, tmpfile}, "linkfd": {2, linkFD}, "closefd": {1, closeFD},
		"fstat": {1, fstat},
		"fwrite": onFD(3, func(fd int, a []string) error {
			_, err := unix.Pwrite(fd, []byte(a[2]), int64(number(a[1])))
			return err
		}),
		"ftruncate": onFD(2, func(fd int, a []string) error { return unix.Ftruncate(fd, int64(number(a[1]))) }),
		"fchmod":    onFD(2, func(fd int, a []string) error { return unix.Fchmod(fd, uint32(number(a[1]))) }),
		"fchown":    onFD(3, func(fd int, a []string) error { return unix.Fchown(fd, number(a[1]), number(a[2])) }),
		"fsync":     onFD(1, func(fd int, a []string) error { return unix.Fsync(fd) }),
		"fsetxattr": onFD(3, func(fd int, a []string) error { return unix.Fsetxattr(fd, a[1], []byte(a[2]), 0) }),
		"fallocate": onFD(4, func(fd int, a []string) error {
			return unix.Fallocate(fd, uint32(flags(a[1])), int64(number(a[2])), int64(number(a[3])))
		}),
		"fread": {1, readFD}, "fls": {1, listFD}, "seek": {3, seek}, "copy": {5, copyRange},
	}
	maps.Copy(calls, fileCalls)
}

var typeBits = map[string]uint32{"reg": unix.S_IFREG, "fifo": unix.S_IFIFO, "sock": unix.S_IFSOCK, "chr": unix.S_IFCHR,
	"blk": unix.S_IFBLK, "dir": unix.S_IFDIR, "none": 0}

var flagNames = map[string]int{
	"noreplace": unix.RENAME_NOREPLACE, "exchange": unix.RENAME_EXCHANGE, "whiteout": unix.RENAME_WHITEOUT,
	"new": unix.XATTR_CREATE, "replace": unix.XATTR_REPLACE,
	"r": unix.O_RDONLY, "w": unix.O_WRONLY, "rw": unix.O_RDWR, "creat": unix.O_CREAT, "excl": unix.O_EXCL,
	"trunc":  unix.O_TRUNC,
	"append": unix.O_APPEND, "dir": unix.O_DIRECTORY, "nofollow": unix.O_NOFOLLOW, "nonblock": unix.O_NONBLOCK,
	"path":    unix.O_PATH,
	"noatime": unix.O_NOATIME, "direct": unix.O_DIRECT,
	"keep": unix.FALLOC_FL_KEEP_SIZE, "punch": unix.FALLOC_FL_PUNCH_HOLE, "zero": unix.FALLOC_FL_ZERO_RANGE,
	"collapse": unix.FALLOC_FL_COLLAPSE_RANGE, "insert": unix.FALLOC_FL_INSERT_RANGE,
	"data": unix.SEEK_DATA, "hole": unix.SEEK_HOLE,
	"shared": unix.LOCK_SH, "exclusive": unix.LOCK_EX, "unlock": unix.LOCK_UN, "try": unix.LOCK_NB,
}

func flags(text string) (all int) {
	for _, name := range strings.Split(text, "|") {
		flag, known := flagNames[name]
		if !known {
			flag = number(name)
		}
		all |= flag
	}
	return all
}

func create(a []string) error {
	fd, err := unix.Open(a[0], unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, uint32(number(a[1])))
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func openOnly(a []string) error {
	fd, err := unix.Open(a[0], flags(a[1])|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(number(a[2])))
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// bind makes a socket in the filesystem as servers do.
func bind(a []string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: a[0]})
}

func writeTo(path, offset, data string, more int) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|more, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if more != 0 {
		_, err = unix.Write(fd, []byte(data))
	} else {
		_, err = unix.Pwrite(fd, []byte(data), int64(number(offset)))
	}
	return err
}

// utimes sets times in seconds, or to "now", or not ("omit").
func utimes(a []string) error {
	var times [2]unix.Timespec
	for i := range times {
		switch text := a[1+i]; text {
		case "now":
			times[i].Nsec = unix.UTIME_NOW
		case "omit":
			times[i].Nsec = unix.UTIME_OMIT
		default:
			times[i] = unix.Timespec{Sec: int64(number(text)), Nsec: 7}
		}
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, a[0], times[:], flags(a[3]))
}

// waitForTick lets the clock go on by which files get their times.
func waitForTick() error {
	var start, now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &start); err != nil {
		return err
	}
	for now = start; now == start; time.Sleep(time.Millisecond) {
		if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
			return err
		}
	}
	return nil
}

func readlink(_ *process, a []string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(a[0], buf)
	return string(buf[:max(n, 0)]), err
}

func getxattr(_ *process, a []string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(a[0], a[1], buf[:min(len(buf), sizeOr(a[2], len(buf)))])
	return string(buf[:max(min(n, len(buf)), 0)]), err
}

func sizeOr(text string, otherwise int) int {
	if text == "" {
		return otherwise
	}
	return number(text)
}

func listxattr(_ *process, a []string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(a[0], buf)
	names := strings.Split(strings.TrimSuffix(string(buf[:max(n, 0)]), "\x00"), "\x00")
	slices.Sort(names)
	return strings.Join(names, " "), err
}

func getACL(_ *process, a []string) (string, error) {
	buf := make([]byte, 4<<10)
	n, err := unix.Getxattr(a[0], aclXattrs[a[1]], buf)
	return fmt.Sprintf("%x", buf[:max(n, 0)]), err
}

func stat(_ *process, a []string) (string, error) {
	var st unix.Stat_t
	err := unix.Stat(a[0], &st)
	return attributes(&st), err
}

func lstat(_ *process, a []string) (string, error) {
	var st unix.Stat_t
	err := unix.Lstat(a[0], &st)
	return attributes(&st), err
}

func fstat(p *process, a []string) (string, error) {
	var st unix.Stat_t
	err := unix.Fstat(p.fd(a[0]), &st)
	return attributes(&st), err
}

// attributes describes what must be the same on all filesystems.
func attributes(st *unix.Stat_t) string {
	text := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		text += fmt.Sprintf(" names=%d size=%d", st.Nlink, st.Size)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Nlink == 0 {
		text += " removed"
	}
	if st.Rdev != 0 {
		text += fmt.Sprintf(" rdev=%d", st.Rdev)
	}
	const explicit = 1 << 24 // later times were not set by a script
	if st.Mtim.Sec < explicit {
		text += fmt.Sprintf(" mtime=%d.%d", st.Mtim.Sec, st.Mtim.Nsec)
	}
	return text
}

// mark remembers the times of files for changed, which tells those that differ.
func mark(p *process, a []string) (string, error) {
	for _, path := range a {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); path != "" && err != nil {
			return "", err
		}
		p.marks[path] = st
	}
	return "", waitForTick()
}

func changed(p *process, a []string) (string, error) {
	var st unix.Stat_t
	err := unix.Lstat(a[0], &st)
	before := p.marks[a[0]]
	var names []string
	if st.Mtim != before.Mtim {
		names = append(names, "mtime")
	}
	if st.Ctim != before.Ctim {
		names = append(names, "ctime")
	}
	if st.Ino != before.Ino {
		names = append(names, "ino")
	}
	return strings.Join(names, " "), err
}

func read(_ *process, a []string) (string, error) {
	fd, err := unix.Open(a[0], unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return contents(fd)
}

func readFD(p *process, a []string) (string, error) { return contents(p.fd(a[0])) }

func contents(fd int) (string, error) {
	var all []byte
	for {
		buf := make([]byte, 64<<10)
		n, err := unix.Pread(fd, buf, int64(len(all)))
		if n <= 0 || err != nil {
			return fmt.Sprintf("%d %q", len(all), bytes.TrimRight(all[:min(len(all), 60)], "\x00")), err
		}
		all = append(all, buf[:n]...)
	}
}

func list(_ *process, a []string) (string, error) {
	fd, err := unix.Open(a[0], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return names(fd)
}

func listFD(p *process, a []string) (string, error) {
	if _, err := unix.Seek(p.fd(a[0]), 0, 0); err != nil {
		return "", err
	}
	return names(p.fd(a[0]))
}

func names(fd int) (string, error) {
	var all []string
	buf := make([]byte, 4<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if n <= 0 || err != nil {
			slices.Sort(all)
			return strings.Join(all, " "), err
		}
		_, _, all = unix.ParseDirent(buf[:n], -1, all)
	}
}

func (p *process) fd(name string) int {
	if fd, ok := p.files[name]; ok {
		return fd
	}
	return -1
}

// onFD makes a call of what is done to an open file.
func onFD(min int, do func(fd int, args []string) error) call {
	return call{min, func(p *process, a []string) (string, error) { return "", do(p.fd(a[0]), a) }}
}

func openFD(p *process, a []string) (string, error) {
	fd, err := unix.Open(a[1], flags(a[2])|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(number(a[3])))
	return "", p.keep(a[0], fd, err)
}

// tmpfile opens a file without a name.
func tmpfile(p *process, a []string) (string, error) {
	fd, err := unix.Open(a[1], unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|flags(a[3]), uint32(number(a[2])))
	return "", p.keep(a[0], fd, err)
}

func (p *process) keep(name string, fd int, err error) error {
	if err != nil {
		return err
	}
	if old, ok := p.files[name]; ok {
		unix.Close(old)
	}
	p.files[name] = fd
	return nil
}

func linkFD(p *process, a []string) (string, error) {
	return "", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", p.fd(a[0])), unix.AT_FDCWD, a[1],
		unix.AT_SYMLINK_FOLLOW)
}

func closeFD(p *process, a []string) (string, error) {
	fd := p.fd(a[0])
	delete(p.files, a[0])
	return "", unix.Close(fd)
}

func seek(p *process, a []string) (string, error) {
	at, err := unix.Seek(p.fd(a[0]), int64(number(a[1])), flags(a[2]))
	return fmt.Sprint(at), err
}

func copyRange(p *process, a []string) (string, error) {
	from, to := int64(number(a[1])), int64(number(a[3]))
	n, err := unix.CopyFileRange(p.fd(a[0]), &from, p.fd(a[2]), &to, number(a[4]), 0)
	return fmt.Sprint(n), err
}

func pointer[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }
