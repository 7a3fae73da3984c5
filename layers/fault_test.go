package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/layers/tree"
)

// again runs this test in a process of its own, which finds env set.
func again(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// TestFullDisk runs on a small filesystem of its own, mounted in a user namespace.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv("LAYERS_TEST_DISK"); dir != "" {
		if err := unix.Mount("small", dir, "tmpfs", 0, "size=2m"); err != nil {
			t.Fatal(err)
		}
		testFullDisk(t, dir)
		return
	}
	cmd := again(t, "LAYERS_TEST_DISK="+t.TempDir())
	cmd.SysProcAttr = inNamespaces()
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip("this host allows no user namespaces")
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func testFullDisk(t *testing.T, dir string) {
	s := openStoreAt(t, dir)
	big := archiveOf(t, file{"small", []byte("x")}, file{"big", bytes.Repeat([]byte("0123456789abcdef"), 1<<18)})
	_, err := s.Import(context.Background(), bytes.NewReader(big), ImportOptions{Name: "big"})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), `"big"`) {
		t.Errorf("error %v, want %v and the name of the file", err, unix.ENOSPC)
	}
	mustImport(t, s, "fits", "x")
	if images, err := s.Images(); err != nil || len(images) != 1 {
		t.Errorf("images %+v, %v", images, err)
	}
	if left, err := os.ReadDir(s.layout.staging()); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	img := newSample(t, "amd64", big)
	path := writeFile(t, dockerArchiveOf(t, []*sample{img}, [][]string{{"big:1"}}))
	if _, err := s.Load(context.Background(), path, nil, LoadOptions{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("load: error %v, want %v", err, unix.ENOSPC)
	}
	if left, err := os.ReadDir(s.tempRoot()); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestFullDiskAnywhere lets the disk fill up at ever later moments of bringing images in and removing them: on
// filesystems of ever more pages. What is listed must be whole each time, and nothing may be left.
func TestFullDiskAnywhere(t *testing.T) {
	if dir := os.Getenv("LAYERS_TEST_DISK"); dir != "" {
		testFullDiskAnywhere(t, dir)
		return
	}
	cmd := again(t, "LAYERS_TEST_DISK="+t.TempDir())
	cmd.SysProcAttr = inNamespaces()
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip("this host allows no user namespaces")
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

func testFullDiskAnywhere(t *testing.T, dir string) {
	images := crashImages(t)
	archive := filepath.Join(t.TempDir(), "archive.tar")
	data := dockerArchiveOf(t, images[:2], [][]string{{"loaded:0"}, {"loaded:1"}})
	if err := os.WriteFile(archive, data, 0o600); err != nil {
		t.Fatal(err)
	}
	full, fit := 0, 0
	for kib := reserveSize>>10 + 64; fit < 3; kib += 4 { // a page more each time
		here := filepath.Join(dir, fmt.Sprint(kib))
		if err := os.Mkdir(here, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("small", here, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
			t.Fatal(err)
		}
		if fillStore(t, here, archive) {
			full++
		} else {
			fit++
		}
		if t.Failed() {
			t.Fatalf("with %d KiB", kib)
		}
		// With room again, all must work.
		if err := unix.Mount("small", here, "tmpfs", unix.MS_REMOUNT, "size=8m"); err != nil {
			t.Fatal(err)
		}
		verifyStore(t, here, true)
		s := openStoreAt(t, here)
		mustImport(t, s, "fits", "x")
		emptyStore(t, here)
		if t.Failed() {
			t.Fatalf("after there were only %d KiB", kib)
		}
	}
	if full < 20 {
		t.Errorf("the disk was full only %d times", full)
	}
	t.Logf("the disk was full at %d moments", full)
	testRemoveOnFullDisk(t, filepath.Join(dir, "full"))
}

// testRemoveOnFullDisk leaves not a byte of the disk, and removes a container and an image all the same.
func testRemoveOnFullDisk(t *testing.T, dir string) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	s := openStoreAt(t, dir)
	if err := s.CreateContainer(containerID(1), "", mustImport(t, s, "victim", "x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	s = openStoreAt(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "more"), []byte("x"), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the disk is not full: %v", err)
	}
	if err := s.RemoveContainer(containerID(1)); err != nil {
		t.Error(err)
	}
	if _, err := s.RemoveImage("victim", RemoveOptions{}); err != nil {
		t.Error(err)
	}
	isClean(t, s)
}

// fillStore does one thing after the other in a new store, and tells whether any of it failed for want of room.
func fillStore(t *testing.T, dir, archive string) (full bool) {
	ctx := context.Background()
	for _, step := range []func(s *Store) error{
		func(s *Store) error {
			_, err := s.Import(ctx, bytes.NewReader(rootfsTar(t, "y")), ImportOptions{Name: "imported"})
			return err
		},
		func(s *Store) error {
			_, err := s.Load(ctx, archive, nil, LoadOptions{})
			return err
		},
		func(s *Store) error {
			img, err := s.Image("loaded:1")
			if err != nil {
				return err
			}
			return s.CreateContainer(containerID(1), "", img)
		},
		func(s *Store) error { return crashCommit(ctx, s, rand.New(rand.NewPCG(0, 0))) },
		func(s *Store) error {
			_, err := s.RemoveImage("imported", RemoveOptions{})
			return err
		},
	} {
		s, err := Open(Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
		if err == nil {
			err = errors.Join(step(s), s.Close())
		}
		switch {
		case errors.Is(err, unix.ENOSPC):
			full = true
		case err != nil && !errdefs.IsNotFound(err):
			t.Error(err)
		}
		if s != nil {
			verifyStore(t, dir, true)
		}
	}
	return full
}

// TestKilledImport kills a process in the middle of an import.
func TestKilledImport(t *testing.T) {
	if dir := os.Getenv("LAYERS_TEST_STORE"); dir != "" {
		_, err := openStoreAt(t, dir).Import(context.Background(), os.Stdin, ImportOptions{Name: "half"})
		t.Fatalf("the import came to an end: %v", err)
	}
	dir := t.TempDir()
	s := openStoreAt(t, dir)
	data := rootfsTar(t, "x")
	cmd := again(t, "LAYERS_TEST_STORE="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(data[:6000]); err != nil {
		t.Fatal(err)
	}
	for begun := false; !begun; time.Sleep(time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(s.layout.staging(), "*", diffDir, "etc", "shadow"))
		if err != nil {
			t.Fatal(err)
		}
		begun = len(files) > 0
	}
	// An import that is under way holds up nobody: with a lock, this would wait for ever.
	if err := s.CreateContainer(containerID(1), "", nil); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process was not killed")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStoreAt(t, dir)
	if left, err := os.ReadDir(s.layout.staging()); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if images, err := s.Images(); err != nil || len(images) > 0 {
		t.Errorf("images %+v, %v", images, err)
	}
	mustImport(t, s, "half", "x")
}

// TestRealTree imports the tar of a whole distribution, where $RCRUN_DEBIAN names one, and compares all entries.
func TestRealTree(t *testing.T) {
	path := os.Getenv("RCRUN_DEBIAN")
	if path == "" {
		t.Skip("RCRUN_DEBIAN names no tar")
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := openStore(t)
	id, err := s.Import(context.Background(), in, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	n := compareTree(t, in, s.layout.diff(img.TopLayer))
	t.Logf("%d entries", n)
	if _, err := s.RemoveImage(id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if files, bytes := usage(t, s); files > 40 || bytes > 10_000 {
		t.Errorf("%d files of %d bytes are left", files, bytes)
	}
}

// compareTree compares the entries of a tar with a tree, and returns how many there are.
func compareTree(t *testing.T, in io.Reader, dir string) (n int) {
	types := map[byte]uint32{
		tar.TypeReg: unix.S_IFREG, tar.TypeDir: unix.S_IFDIR, tar.TypeSymlink: unix.S_IFLNK, tar.TypeChar: unix.S_IFCHR,
		tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO, tar.TypeLink: unix.S_IFREG,
	}
	for tr := tar.NewReader(in); ; n++ {
		hdr, err := tr.Next()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, hdr.Name)
		st, err := tree.ReadStat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if int(st.UID) != hdr.Uid || int(st.GID) != hdr.Gid || st.Mode != types[hdr.Typeflag]|uint32(hdr.Mode&0o7777) ||
			st.Rdev != unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor)) {
			t.Errorf("%s is %+v, in the tar %d:%d %o %c", hdr.Name, st, hdr.Uid, hdr.Gid, hdr.Mode, hdr.Typeflag)
		}
		var disk unix.Stat_t
		if err := unix.Lstat(path, &disk); err != nil {
			t.Error(err)
		} else if int(disk.Uid) != os.Geteuid() || !time.Unix(disk.Mtim.Unix()).Equal(hdr.ModTime) {
			t.Errorf("%s is owned by %d on disk and of %v, in the tar of %v", hdr.Name, disk.Uid, time.Unix(disk.Mtim.Unix()), hdr.ModTime)
		}
	}
}

// inNamespaces makes a process root of a user namespace and a mount namespace of its own.
func inNamespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}
