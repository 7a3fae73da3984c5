package fusefs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// withLower returns a union over one lower that holds the given files.
func withLower(t *testing.T, files map[string]string) *mounted {
	t.Helper()
	m := newMounted(t, 1)
	if inside() {
		return m
	}
	for path, data := range files {
		full := filepath.Join(m.lower(0), path)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(data), 0o644))
	}
	return m
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %.80q, %v; want %.80q", path, got, err, want)
	}
}

func TestOpenFlags(t *testing.T) {
	m := withLower(t, map[string]string{"append": "lower\n", "trunc": "lower", "excl": "lower", "middle": "0123456789"})
	m.check = func(t *testing.T, m *mounted, c *Counters) {
		wantFile(t, m.upper()+"/append", "lower\none\ntwo\n")
		wantFile(t, m.lower(0)+"/append", "lower\n")
		if c.of("open") > 1 || c.of("create") > 1 || c.of("opendir") > 1 {
			t.Errorf("%d OPEN, %d CREATE, %d OPENDIR", c.of("open"), c.of("create"), c.of("opendir"))
		}
	}
	m.run(t, func(t *testing.T, mnt string) {
		for _, line := range []string{"one\n", "two\n"} {
			f, err := os.OpenFile(mnt+"/append", os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString(line)
			must(t, err)
			must(t, f.Close())
		}
		wantFile(t, mnt+"/append", "lower\none\ntwo\n")
		must(t, os.WriteFile(mnt+"/trunc", []byte("x"), 0o644))
		wantFile(t, mnt+"/trunc", "x")
		if _, err := os.OpenFile(mnt+"/excl", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); !os.IsExist(err) {
			t.Errorf("O_EXCL on an existing file: %v", err)
		}
		f, err := os.OpenFile(mnt+"/unreadable", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o200)
		must(t, err)
		_, err = f.WriteString("y")
		must(t, err)
		must(t, f.Close())
		f, err = os.OpenFile(mnt+"/middle", os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("XY"), 4)
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
		wantFile(t, mnt+"/middle", "0123XY6789")
	})
}

// TestReaderSeesLaterWrites opens for reading before the copy-up.
func TestReaderSeesLaterWrites(t *testing.T) {
	withLower(t, map[string]string{"file": "before"}).run(t, func(t *testing.T, mnt string) {
		r, err := os.Open(mnt + "/file")
		must(t, err)
		defer r.Close()
		w, err := os.OpenFile(mnt+"/file", os.O_WRONLY, 0)
		must(t, err)
		defer w.Close()
		_, err = w.WriteString("AFTER!")
		must(t, err)
		data, err := io.ReadAll(r)
		if string(data) != "AFTER!" || err != nil {
			t.Errorf("read %q, %v", data, err)
		}
	})
}

func TestMmap(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<14)
	m := withLower(t, map[string]string{"big": big})
	m.check = func(t *testing.T, m *mounted, _ *Counters) {
		wantFile(t, m.upper()+"/big", big[:100000]+"mapped"+big[100006:])
	}
	m.run(t, func(t *testing.T, mnt string) {
		f, err := os.OpenFile(mnt+"/big", os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		data, err := unix.Mmap(int(f.Fd()), 0, len(big), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		if string(data) != big {
			t.Error("what is mapped differs")
		}
		copy(data[100000:], "mapped")
		must(t, unix.Msync(data, unix.MS_SYNC))
		must(t, unix.Munmap(data))
		wantFile(t, mnt+"/big", big[:100000]+"mapped"+big[100006:])
	})
}

func TestUnlinkedOpenFile(t *testing.T) {
	withLower(t, map[string]string{"lower": "lower"}).run(t, func(t *testing.T, mnt string) {
		must(t, os.WriteFile(mnt+"/upper", []byte("upper"), 0o644))
		for _, name := range []string{"lower", "upper"} {
			f, err := os.OpenFile(mnt+"/"+name, os.O_RDWR, 0)
			must(t, err)
			must(t, os.Remove(mnt+"/"+name))
			_, err = f.WriteAt([]byte("+"), int64(len(name)))
			must(t, err)
			data, err := io.ReadAll(f)
			if string(data) != name+"+" || err != nil {
				t.Errorf("read %q, %v", data, err)
			}
			var st unix.Stat_t
			must(t, unix.Fstat(int(f.Fd()), &st))
			if st.Nlink != 0 || st.Size != int64(len(name)+1) {
				t.Errorf("nlink %d, size %d", st.Nlink, st.Size)
			}
			must(t, f.Chmod(0o600))
			must(t, f.Truncate(1))
			must(t, f.Close())
		}
	})
}

// TestLocks has a lock in one process and wants it to be seen in another.
func TestLocks(t *testing.T) {
	withLower(t, map[string]string{"file": "x"}).run(t, func(t *testing.T, mnt string) {
		f, err := os.OpenFile(mnt+"/file", os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		other, err := os.OpenFile(mnt+"/file", os.O_RDWR, 0)
		must(t, err)
		defer other.Close()
		if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			t.Errorf("second flock: %v", err)
		}
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_UN))
		must(t, unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB))

		lock := unix.Flock_t{Type: unix.F_WRLCK}
		must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock))
		if err := unix.FcntlFlock(other.Fd(), unix.F_OFD_SETLK, &lock); err != unix.EAGAIN {
			t.Errorf("second record lock: %v", err)
		}
	})
}

func TestStatfs(t *testing.T) {
	newMounted(t, 0).run(t, func(t *testing.T, mnt string) {
		var here, upper unix.Statfs_t
		must(t, unix.Statfs(mnt, &here))
		must(t, unix.Statfs(mnt+"/../upper", &upper))
		if here.Blocks*uint64(here.Bsize) != upper.Blocks*uint64(upper.Bsize) || here.Namelen != 255 {
			t.Errorf("got %+v, the upper's is %+v", here, upper)
		}
	})
}

func TestExec(t *testing.T) {
	m := newMounted(t, 1)
	if !inside() {
		binary, err := os.ReadFile("/bin/sh")
		must(t, err)
		must(t, os.WriteFile(m.lower(0)+"/sh", binary, 0o755))
	}
	m.run(t, func(t *testing.T, mnt string) {
		out, err := exec.Command(mnt+"/sh", "-c", "echo ran").CombinedOutput()
		if err != nil || string(out) != "ran\n" {
			t.Errorf("%q, %v", out, err)
		}
		data, err := os.ReadFile(mnt + "/sh")
		must(t, err)
		must(t, os.WriteFile(mnt+"/copy", data, 0o755))
		if out, err := exec.Command(mnt+"/copy", "-c", "echo ran").CombinedOutput(); err != nil ||
			string(out) != "ran\n" {
			t.Errorf("copied: %q, %v", out, err)
		}
	})
}

func TestOwnersAndModes(t *testing.T) {
	m := withLower(t, map[string]string{"file": "x", "suid": "x"})
	m.manyIDs = true
	m.run(t, func(t *testing.T, mnt string) {
		must(t, os.Chown(mnt+"/file", 33, 34))
		must(t, os.Symlink("file", mnt+"/link"))
		must(t, os.Lchown(mnt+"/link", 5, 6))
		must(t, os.Chmod(mnt+"/suid", 0o4755|os.ModeSetuid))
		must(t, os.Mkdir(mnt+"/open", 0o777))
		must(t, os.Chmod(mnt+"/open", 0o777|os.ModeSticky))
		for path, want := range map[string]string{"file": "33 34 100644", "link": "5 6 120777",
			"suid": "0 0 104755", "open": "0 0 41777"} {
			var st unix.Stat_t
			must(t, unix.Lstat(mnt+"/"+path, &st))
			if got := fmt.Sprintf("%d %d %o", st.Uid, st.Gid, st.Mode); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
		must(t, os.Chdir(mnt)) // the way here is barred to other users
		defer os.Chdir("/")
		script := "echo y >> file && touch open/mine && ! touch denied 2>/dev/null && ! rm -f suid 2>/dev/null; "
		asUser(t, 33, script+"stat -c %u:%g open/mine", "33:33\n")
		must(t, os.Chown(mnt+"/suid", 33, 33))
		must(t, os.Chmod(mnt+"/suid", 0o755|os.ModeSetuid))
		asUser(t, 33, "echo y >> suid; stat -c %a suid", "755\n")
	})
}

// asUser runs a script as a user of the container, in the current directory.
func asUser(t *testing.T, id uint32, script, want string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = credential(id)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
		t.Errorf("as user %d: %q, %v", id, out, err)
	}
}

func TestDevicesAndPipes(t *testing.T) {
	newMounted(t, 0).run(t, func(t *testing.T, mnt string) {
		must(t, unix.Mkfifo(mnt+"/pipe", 0o600))
		go os.WriteFile(mnt+"/pipe", []byte("through"), 0)
		wantFile(t, mnt+"/pipe", "through")
		if err := unix.Mknod(mnt+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != unix.EPERM {
			t.Errorf("mknod of a device: %v", err)
		}
		// The kernel lets anyone make a whiteout; here it must be an ordinary device that hides nothing.
		must(t, unix.Mknod(mnt+"/zero", unix.S_IFCHR|0o600, 0))
		if _, err := os.Lstat(mnt + "/zero"); err != nil {
			t.Error(err)
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		defer unix.Close(fd)
		must(t, os.Chdir(mnt))
		must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}))
		must(t, unix.Listen(fd, 1))
		must(t, os.Chdir("/"))
	})
}

// TestWriteback writes little by little where the kernel collects it, to a new file and to a lower one.
func TestWriteback(t *testing.T) {
	m := withLower(t, map[string]string{"lower": strings.Repeat("l", 10000)})
	m.tuning.Writeback = true
	const line = "0123456789abcdef"
	m.check = func(t *testing.T, m *mounted, c *Counters) {
		wantFile(t, m.upper()+"/new", strings.Repeat(line, 10000))
		wantFile(t, m.upper()+"/lower", strings.Repeat("l", 10000)+line)
		if n := c.of("write"); n > 10 {
			t.Errorf("%d WRITE", n)
		}
	}
	m.run(t, func(t *testing.T, mnt string) {
		f, err := os.Create(mnt + "/new")
		must(t, err)
		for range 10000 {
			_, err := f.WriteString(line)
			must(t, err)
		}
		must(t, f.Close())
		wantFile(t, mnt+"/new", strings.Repeat(line, 10000))
		f, err = os.OpenFile(mnt+"/lower", os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString(line)
		must(t, err)
		must(t, f.Close())
		if st, err := os.Stat(mnt + "/lower"); err != nil || st.Size() != 10016 {
			t.Errorf("%v, %v", st, err)
		}
		must(t, os.Truncate(mnt+"/new", 5))
		wantFile(t, mnt+"/new", line[:5])
		f, err = os.OpenFile(mnt+"/new", os.O_WRONLY, 0)
		must(t, err)
		for i := range 10000 {
			_, err := f.WriteAt([]byte(line), int64(i*len(line)))
			must(t, err)
		}
		must(t, f.Sync())
		must(t, f.Close())
	})
}

// TestWarmRequests counts requests: what the kernel knows it does not ask again.
func TestWarmRequests(t *testing.T) {
	m := withLower(t, map[string]string{"d/file": "data"})
	m.check = func(t *testing.T, m *mounted, c *Counters) {
		// OPEN and OPENDIR once each, to learn that they are not needed; the root's attributes; d and file come by
		// READDIRPLUS or LOOKUP; one READ, one LOOKUP of what is missing. A second round must add nothing but the
		// GETATTR that follows a first read, for the access time.
		if n := c.of("read"); n != 1 {
			t.Errorf("%d READ", n)
		}
		if n := c.of("lookup"); n != 3 {
			t.Errorf("%d LOOKUP", n)
		}
		if n := c.of("open") + c.of("opendir"); n > 2 {
			t.Errorf("%d OPEN and OPENDIR", n)
		}
		if n := c.of("readdirplus"); n > 2 {
			t.Errorf("%d READDIRPLUS", n)
		}
		if n := c.of("total"); n > 16 {
			t.Errorf("%d requests in all", n)
		}
	}
	m.run(t, func(t *testing.T, mnt string) {
		for range 200 {
			wantFile(t, mnt+"/d/file", "data")
			if _, err := os.Stat(mnt + "/d/none"); !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if _, err := os.ReadDir(mnt + "/d"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWalkOfManyFiles(t *testing.T) {
	const dirs, files = 100, 200
	m := newMounted(t, 2)
	m.opts.MaxFiles = 100
	if !inside() {
		for d := range dirs {
			for layer := range 2 {
				dir := fmt.Sprintf("%s/d%02d", m.lower(layer), d)
				must(t, os.Mkdir(dir, 0o755))
				for i := layer; i < files; i += 2 {
					must(t, os.WriteFile(fmt.Sprintf("%s/f%03d", dir, i), nil, 0o644))
				}
			}
		}
	}
	m.check = func(t *testing.T, m *mounted, c *Counters) {
		if n := c.of("lookup"); n > dirs {
			t.Errorf("%d LOOKUP: a walk gets its attributes by READDIRPLUS", n)
		}
	}
	m.run(t, func(t *testing.T, mnt string) {
		for range 2 {
			count := 0
			must(t, filepath.WalkDir(mnt, func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := d.Info()
				if err == nil && info.Mode().IsRegular() {
					count++
				}
				return err
			}))
			if count != dirs*files {
				t.Errorf("saw %d files", count)
			}
		}
		for d := range dirs / 10 {
			must(t, os.RemoveAll(fmt.Sprintf("%s/d%02d", mnt, d)))
		}
		entries, err := os.ReadDir(mnt)
		if err != nil || len(entries) != dirs-dirs/10 {
			t.Errorf("%d entries left, %v", len(entries), err)
		}
	})
}

// TestParallelWork has eight workers, each with a tree of its own and all with one together.
func TestParallelWork(t *testing.T) {
	files := map[string]string{}
	for i := range 40 {
		files[fmt.Sprintf("shared/f%d", i)] = "lower"
	}
	withLower(t, files).run(t, parallelWork)
}

// TestSingleProcessor is TestParallelWork with a server that has one thread to run Go on.
func TestSingleProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	files := map[string]string{}
	for i := range 40 {
		files[fmt.Sprintf("shared/f%d", i)] = "lower"
	}
	withLower(t, files).run(t, parallelWork)
}

func parallelWork(t *testing.T, mnt string) {
	var wait sync.WaitGroup
	for w := range 8 {
		wait.Go(func() {
			if err := work(mnt, w); err != nil {
				t.Errorf("worker %d: %v", w, err)
			}
		})
	}
	wait.Wait()
	for i := range 40 {
		data, err := os.ReadFile(fmt.Sprintf("%s/shared/f%d", mnt, i))
		if err != nil || !bytes.HasPrefix(data, []byte("lower")) || len(data) != 5+8 {
			t.Errorf("f%d holds %q, %v", i, data, err)
		}
	}
}

func work(mnt string, w int) error {
	own := fmt.Sprintf("%s/w%d", mnt, w)
	for i := range 40 {
		if err := os.MkdirAll(own+"/sub", 0o755); err != nil {
			return err
		}
		data := bytes.Repeat([]byte{byte(w)}, 10000+i)
		if err := os.WriteFile(own+"/sub/file", data, 0o644); err != nil {
			return err
		}
		if err := os.Rename(own, own+"-moved"); err != nil {
			return err
		}
		got, err := os.ReadFile(own + "-moved/sub/file")
		if err != nil || !bytes.Equal(got, data) {
			return fmt.Errorf("read back %d bytes: %w", len(got), err)
		}
		if err := os.RemoveAll(own + "-moved"); err != nil {
			return err
		}
		f, err := os.OpenFile(fmt.Sprintf("%s/shared/f%d", mnt, i), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err := f.Write([]byte{'0' + byte(w)}); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
