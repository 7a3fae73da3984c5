package layers_test

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

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/storetest"
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
	s := storetest.OpenStoreAt(t, dir)
	big := storetest.ArchiveOf(t, storetest.File{Name: "small", Data: []byte("x")},
		storetest.File{Name: "big", Data: bytes.Repeat([]byte("0123456789abcdef"), 1<<18)})
	_, err := archive.Import(context.Background(), s, bytes.NewReader(big), archive.ImportOptions{Name: "big"})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), `"big"`) {
		t.Errorf("error %v, want %v and the name of the file", err, unix.ENOSPC)
	}
	storetest.MustImport(t, s, "fits", "x")
	if images, err := s.Images(context.Background()); err != nil || len(images) != 1 {
		t.Errorf("images %+v, %v", images, err)
	}
	if left, err := os.ReadDir(s.Core().Layout.Staging()); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	img := storetest.NewSample(t, "amd64", big)
	path := storetest.WriteFile(t, storetest.DockerArchiveOf(t, []*storetest.Sample{img}, [][]string{{"big:1"}}))
	if _, err := archive.Load(context.Background(), s, path, nil, archive.LoadOptions{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("load: error %v, want %v", err, unix.ENOSPC)
	}
	if left, err := os.ReadDir(s.Core().TempRoot()); err != nil || len(left) > 0 {
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
	packed := filepath.Join(t.TempDir(), "archive.tar")
	data := storetest.DockerArchiveOf(t, images[:2], [][]string{{"loaded:0"}, {"loaded:1"}})
	if err := os.WriteFile(packed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	full, fit := 0, 0
	for kib := core.ReserveSize>>10 + 64; fit < 3; kib += 4 { // a page more each time
		here := filepath.Join(dir, fmt.Sprint(kib))
		if err := os.Mkdir(here, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("small", here, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
			t.Fatal(err)
		}
		if fillStore(t, here, packed) {
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
		s := storetest.OpenStoreAt(t, here)
		storetest.MustImport(t, s, "fits", "x")
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
	s := storetest.OpenStoreAt(t, dir)
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "",
		storetest.MustImport(t, s, "victim", "x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	s = storetest.OpenStoreAt(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "more"), []byte("x"), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the disk is not full: %v", err)
	}
	if err := s.RemoveContainer(context.Background(), storetest.ContainerID(1)); err != nil {
		t.Error(err)
	}
	if _, err := s.RemoveImage(context.Background(), "victim", layers.RemoveOptions{}); err != nil {
		t.Error(err)
	}
	storetest.IsClean(t, s)
}

// fillStore does one thing after the other in a new store, and tells whether any of it failed for want of room.
func fillStore(t *testing.T, dir, packed string) (full bool) {
	ctx := context.Background()
	for _, step := range []func(s *layers.Store) error{
		func(s *layers.Store) error {
			_, err := archive.Import(ctx, s, bytes.NewReader(storetest.RootfsTar(t, "y")),
				archive.ImportOptions{Name: "imported"})
			return err
		},
		func(s *layers.Store) error {
			_, err := archive.Load(ctx, s, packed, nil, archive.LoadOptions{})
			return err
		},
		func(s *layers.Store) error {
			img, err := s.Image(ctx, "loaded:1")
			if err != nil {
				return err
			}
			return s.CreateContainer(ctx, storetest.ContainerID(1), "", img)
		},
		func(s *layers.Store) error { return crashCommit(ctx, s, rand.New(rand.NewPCG(0, 0))) },
		func(s *layers.Store) error {
			_, err := s.RemoveImage(ctx, "imported", layers.RemoveOptions{})
			return err
		},
	} {
		s, err := layers.Open(layers.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
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
		_, err := archive.Import(context.Background(), storetest.OpenStoreAt(t, dir), os.Stdin,
			archive.ImportOptions{Name: "half"})
		t.Fatalf("the import came to an end: %v", err)
	}
	dir := t.TempDir()
	s := storetest.OpenStoreAt(t, dir)
	data := storetest.RootfsTar(t, "x")
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
		files, err := filepath.Glob(filepath.Join(s.Core().Layout.Staging(), "*", driver.DiffDir, "etc", "shadow"))
		if err != nil {
			t.Fatal(err)
		}
		begun = len(files) > 0
	}
	// An import in progress holds up nothing: if it held a lock, this would wait for ever.
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", nil); err != nil {
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
	s = storetest.OpenStoreAt(t, dir)
	if left, err := os.ReadDir(s.Core().Layout.Staging()); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if images, err := s.Images(context.Background()); err != nil || len(images) > 0 {
		t.Errorf("images %+v, %v", images, err)
	}
	storetest.MustImport(t, s, "half", "x")
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
	s := storetest.OpenStore(t)
	id, err := archive.Import(context.Background(), s, in, archive.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	n := compareTree(t, in, s.Core().Layout.Diff(img.TopLayer))
	t.Logf("%d entries", n)
	if _, err := s.RemoveImage(context.Background(), id, layers.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if files, bytes := storetest.Usage(t, s); files > 40 || bytes > 10_000 {
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
		st, err := storetest.ReadStat(path)
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
			t.Errorf("%s is owned by %d on disk and of %v, in the tar of %v", hdr.Name, disk.Uid,
				time.Unix(disk.Mtim.Unix()), hdr.ModTime)
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
