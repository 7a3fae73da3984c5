package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	soakWarm    = 6  // rounds until all has been as large as it gets
	soakRounds  = 40 // after them
	soakWorkers = 4
	soakFiles   = 60 // that a worker makes and removes in a round
	// soakGrowth is what the server's memory may grow by after it is warm, in KiB: the heap is not collected at the
	// same point every time. To leak half of the inodes would be more.
	soakGrowth = 5 << 10
)

// TestSoak has several workers do all kinds of things over and over, and wants the server to take no more memory,
// descriptors and inodes in the end than it did when it was warm.
func TestSoak(t *testing.T) {
	squashed := fmt.Sprintf("ownership=caller,squash_to_uid=%d,squash_to_gid=%d,", os.Getuid(), os.Getgid())
	for kind, policy := range map[string]string{"host": "", "caller": squashed} {
		t.Run(kind, func(t *testing.T) {
			u := newUnionUser(t)
			u.inHome(`mkdir -p lower upper work mnt
				for d in 1 2 3 4; do mkdir -p lower/$d/sub; for f in 1 2 3 4 5 6 7 8; do echo $d$f > lower/$d/sub/$f; done; done`)
			u.run("union", "mount", "-o", policy+"lowerdir=lower,upperdir=upper,workdir=work", "mnt")
			defer u.run("union", "unmount", "mnt")
			server := u.serverOf("home/mnt")
			var warm usage
			for round := range soakWarm + soakRounds {
				u.soak(round)
				if round == soakWarm-1 {
					warm = u.usageOf(server)
				}
			}
			end := u.usageOf(server)
			t.Logf("after %d rounds %+v, after %d more %+v", soakWarm, warm, soakRounds, end)
			if end.memory > warm.memory+soakGrowth || end.files > warm.files || end.nodes > warm.nodes {
				t.Errorf("after %d rounds %+v, after %d more %+v", soakWarm, warm, soakRounds, end)
			}
			left := u.inHome("ls upper; find work -type f -size +0 -name '[0-9]*' | wc -l")
			if left != "1\n2\n3\n4\n0" {
				t.Errorf("left in the upper and in the work directory:\n%s", left)
			}
		})
	}
}

// usage is what a server takes.
type usage struct {
	memory int    // resident, in KiB
	files  int    // that are open
	nodes  uint64 // inodes that it knows
}

// usageOf looks at the server of the mount, when the kernel has said what it has forgotten.
func (u *user) usageOf(server process) (now usage) {
	u.t.Helper()
	eventually(u.t, "the kernel forgets what was removed", func() bool {
		var stats struct{ Nodes uint64 }
		if err := json.Unmarshal([]byte(u.run("union", "stats", "--format", "json", "mnt")), &stats); err != nil {
			u.t.Fatal(err)
		}
		before := now.nodes
		now.nodes = stats.Nodes
		return before == now.nodes
	})
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", server.pid))
	if err != nil {
		u.t.Fatal(err)
	}
	now.files = len(files)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.pid))
	if err != nil {
		u.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nVmRSS:")
	if _, err := fmt.Sscan(rest, &now.memory); err != nil {
		u.t.Fatal(err)
	}
	return now
}

// serverOf returns the process that serves a mount.
func (u *user) serverOf(mnt string) process {
	u.t.Helper()
	buf := make([]byte, 100)
	n, err := syscall.Getxattr(u.path(mnt), "user.rcrun.server", buf)
	if err != nil {
		u.t.Fatal(err)
	}
	var server struct{ Pid int }
	if err := json.Unmarshal(buf[:n], &server); err != nil || server.Pid < 2 {
		u.t.Fatalf("%s: %v", buf[:n], err)
	}
	return process{pid: server.Pid}
}

// soak does a round of work. Afterwards everything is where it was.
func (u *user) soak(round int) {
	u.t.Helper()
	errs := make([]error, soakWorkers)
	var workers sync.WaitGroup
	for i := range soakWorkers {
		workers.Go(func() { errs[i] = soakWorker(u.path("home/mnt"), i+1, round) })
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		u.t.Fatal(err)
	}
}

// soakWorker makes, changes, moves and removes files of all kinds, in a directory of its own, and changes lower ones.
func soakWorker(mnt string, worker, round int) error {
	lower, made := fmt.Sprintf("%s/%d", mnt, worker), fmt.Sprintf("%s/made-%d", mnt, worker)
	data := strings.Repeat(fmt.Sprint(round), 3000)
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	for i := range soakFiles {
		if err := soakFile(fmt.Sprintf("%s/%d", made, i), i, data); err != nil {
			return err
		}
	}
	err := filepath.WalkDir(mnt, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // another worker's
			return nil
		}
		return err
	})
	return errors.Join(err,
		os.Rename(lower+"/sub", lower+"/moved"),
		os.Chmod(lower+"/moved/1", os.FileMode(0o600+round%2*0o044)),
		os.WriteFile(lower+"/moved/2", []byte(data), 0o644),
		os.Remove(lower+"/moved/3"),
		os.WriteFile(lower+"/moved/3", []byte(data), 0o644),
		os.Rename(lower+"/moved", lower+"/sub"),
		os.Rename(made, made+"-moved"),
		os.RemoveAll(made+"-moved"))
}

// soakFile makes one file with what can be done to it.
func soakFile(path string, i int, data string) error {
	switch i % 6 {
	case 0:
		return os.Symlink(data[:20], path)
	case 1:
		return errors.Join(os.MkdirAll(path+"/a/b", 0o755), os.WriteFile(path+"/a/b/c", []byte("x"), 0o644),
			os.Rename(path+"/a/b/c", path+"/c"))
	case 2: // removed while it is open
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		_, writeErr := file.WriteString(data)
		return errors.Join(writeErr, os.Remove(path), file.Close())
	case 3: // without a name, then with one
		fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, path,
			unix.AT_SYMLINK_FOLLOW)
	}
	return errors.Join(os.WriteFile(path, []byte(data), 0o644), unix.Setxattr(path, "user.note", []byte(data[:50]), 0),
		os.Link(path, path+"-too"), os.Truncate(path, 10))
}
