package layers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestContainer(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app", "x")
	filesBefore, _ := storetest.Usage(t, s)
	id := storetest.ContainerID(1)
	if err := s.CreateContainer(context.Background(), id, "web", img); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(stack.Lowers) != 1 || stack.Lowers[0].Dir != s.Core().Layout.Diff(img.TopLayer) {
		t.Errorf("lower layers %+v", stack.Lowers)
	}
	if index, err := layerindex.Open(stack.Lowers[0].Index); err != nil {
		t.Error(err)
	} else if err := index.Close(); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{stack.Upper, stack.Work} {
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("%s: %v, %v; want an empty directory", dir, names, err)
		}
	}
	if err := os.WriteFile(filepath.Join(stack.Upper, "new"), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ContainerSize(context.Background(), id); n != 5000 || err != nil {
		t.Errorf("size %d, %v; want 5000", n, err)
	}
	changes, err := s.Core().Lib.Changes("", id)
	if err != nil || len(changes) != 1 || changes[0].String() != "A /new" {
		t.Errorf("changes %v, %v", changes, err)
	}
	if err := s.RemoveContainer(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveContainer(context.Background(), id); err != nil {
		t.Errorf("the second removal: %v", err)
	}
	if _, err := s.ContainerStack(context.Background(), id); !errdefs.IsNotFound(err) {
		t.Errorf("after removal: %v", err)
	}
	// the library's record of containers, and its directory for removals
	if files, _ := storetest.Usage(t, s); files > filesBefore+2 {
		t.Errorf("%d files are left, before there were %d", files, filesBefore)
	}
}

func TestContainerConflicts(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app", "x")
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "web", img); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(2), "web", img); !errdefs.IsConflict(err) ||
		!strings.Contains(err.Error(), "web") {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "other",
		img); !errdefs.IsConflict(err) {
		t.Errorf("an id that is taken: %v", err)
	}
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(3), "third",
		&layers.Image{ID: storetest.ContainerID(9)}); !errdefs.IsNotFound(err) {
		t.Errorf("an image that is gone: %v", err)
	}
	for _, id := range []string{"..", ".", "a/b", "/etc"} {
		if err := s.CreateContainer(context.Background(), id, "", img); err == nil {
			t.Errorf("a container with the id %q was made", id)
		}
	}
	if _, err := s.ContainerStack(context.Background(), storetest.ContainerID(1)); err != nil {
		t.Errorf("the first container: %v", err)
	}
	for _, id := range []string{storetest.ContainerID(2), storetest.ContainerID(3)} {
		if _, err := s.ContainerStack(context.Background(), id); !errdefs.IsNotFound(err) {
			t.Errorf("a container that was refused has layers: %v", err)
		}
	}
}

func TestContainerWithoutImage(t *testing.T) {
	s := storetest.OpenStore(t)
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", nil); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1))
	if err != nil || len(stack.Lowers) != 0 {
		t.Errorf("got %+v, %v", stack, err)
	}
	if st, err := storetest.ReadStat(stack.Upper); err != nil || st.Mode != unix.S_IFDIR|driver.RootPerm {
		t.Errorf("the root is %+v, %v", st, err)
	}
}

// TestContainerRoot checks that a container's root directory is that of its image.
func TestContainerRoot(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app", "x")
	if err := os.Chmod(s.Core().Layout.Diff(img.TopLayer), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", img); err != nil {
		t.Fatal(err)
	}
	if st, err := storetest.ReadStat(s.Core().Layout.Diff(storetest.ContainerID(1))); err != nil ||
		st.Mode != unix.S_IFDIR|0o711 {
		t.Errorf("the root is %+v, %v", st, err)
	}
}

// TestRemoveExact checks that a removal takes no name or abbreviation of another container for an id.
func TestRemoveExact(t *testing.T) {
	s := storetest.OpenStore(t)
	id := "abc" + storetest.ContainerID(1)[3:]
	if err := s.CreateContainer(context.Background(), id, "abc", nil); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"abc", id[:12]} {
		if err := s.RemoveContainer(context.Background(), other); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.ContainerStack(context.Background(), id); err != nil {
		t.Errorf("the container is gone: %v", err)
	}
}

// TestHalfContainer removes what is left of a process that was killed between making a layer and the container's
// record.
func TestHalfContainer(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app", "x")
	id := storetest.ContainerID(1)
	if _, err := s.Core().Lib.CreateLayer(id, img.TopLayer, nil, "", true, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveContainer(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	// Files without any record, as after a power failure, are not in the way.
	if err := os.MkdirAll(filepath.Join(s.Core().Layout.Diff(id), "stale"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateContainer(context.Background(), id, "", img); err != nil {
		t.Fatal(err)
	}
	stack, err := s.ContainerStack(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(stack.Upper); err != nil || len(names) > 0 {
		t.Errorf("the new container has %v, %v", names, err)
	}
}

// TestParallelContainers uses the store from several processes at once, each with several goroutines.
func TestParallelContainers(t *testing.T) {
	const processes, each = 4, 5
	if dir := os.Getenv("LAYERS_TEST_STORE"); dir != "" {
		makeContainers(t, dir, os.Getenv("LAYERS_TEST_PREFIX"), each)
		return
	}
	dir := t.TempDir()
	s := storetest.OpenStoreAt(t, dir)
	storetest.MustImport(t, s, "app", "x")
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestParallelContainers$")
			cmd.Env = append(os.Environ(), "LAYERS_TEST_STORE="+dir, fmt.Sprintf("LAYERS_TEST_PREFIX=%d", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	containers, err := s.Core().Lib.Containers()
	if err != nil || len(containers) != processes*each {
		t.Errorf("%d containers, %v; want %d", len(containers), err, processes*each)
	}
	for _, c := range containers {
		if stack, err := s.ContainerStack(context.Background(), c.ID); err != nil || len(stack.Lowers) != 1 {
			t.Errorf("container %s: %+v, %v", c.ID, stack, err)
		}
	}
}

func makeContainers(t *testing.T, dir, prefix string, n int) {
	s := storetest.OpenStoreAt(t, dir)
	img, err := s.Image(context.Background(), "app")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := s.CreateContainer(context.Background(), fmt.Sprintf("%s%063x", prefix, i),
				prefix+"-"+fmt.Sprint(i), img); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestRemoveImage(t *testing.T) {
	s := storetest.OpenStore(t)
	filesBefore, _ := storetest.Usage(t, s)
	img := storetest.MustImport(t, s, "app:1", "x")
	if err := s.Core().Lib.AddNames(img.ID, []string{"docker.io/library/app:2", "docker.io/library/app:3",
		"docker.io/library/other:1"}); err != nil {
		t.Fatal(err)
	}
	if steps, err := s.RemoveImage(context.Background(), "app:1", layers.RemoveOptions{}); err != nil ||
		len(steps) != 1 ||
		steps[0].Untagged != "app:1" {
		t.Fatalf("one of several names: %+v, %v", steps, err)
	}
	if _, err := s.RemoveImage(context.Background(), img.ID, layers.RemoveOptions{}); !errdefs.IsConflict(err) {
		t.Errorf("by id with names in several repositories: %v", err)
	}
	if steps, err := s.Untag(context.Background(), "app:2", "other:1"); err != nil || len(steps) != 1 ||
		steps[0].Untagged != "other:1" {
		t.Errorf("untag: %+v, %v", steps, err)
	}
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "", img); err != nil {
		t.Fatal(err)
	}
	if steps, err := s.RemoveImage(context.Background(), "app:2", layers.RemoveOptions{}); err != nil ||
		len(steps) != 1 {
		t.Errorf("one of two names of an image in use: %+v, %v", steps, err)
	}
	if _, err := s.RemoveImage(context.Background(), "app:3", layers.RemoveOptions{}); !errdefs.IsConflict(err) ||
		!strings.Contains(err.Error(), storetest.ContainerID(1)) {
		t.Errorf("the last name of an image in use: %v", err)
	}
	if steps, err := s.RemoveImage(context.Background(), "app:3", layers.RemoveOptions{Force: true}); err != nil ||
		len(steps) != 1 ||
		steps[0].Untagged != "app:3" {
		t.Errorf("the last name of an image in use, with force: %+v, %v", steps, err)
	}
	if stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1)); err != nil ||
		len(stack.Lowers) != 1 {
		t.Errorf("the container is %+v, %v", stack, err)
	}
	if err := s.RemoveContainer(context.Background(), storetest.ContainerID(1)); err != nil {
		t.Fatal(err)
	}
	steps, err := s.RemoveImage(context.Background(), img.ID[:12], layers.RemoveOptions{})
	if err != nil || len(steps) != 2 || steps[0].Deleted != "sha256:"+img.ID ||
		steps[1].Deleted != "sha256:"+img.TopLayer {
		t.Errorf("the image without a name: %+v, %v", steps, err)
	}
	if _, err := s.RemoveImage(context.Background(), "app:3", layers.RemoveOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("after removal: %v", err)
	}
	// Left are the library's own files: records and locks.
	if files, bytes := storetest.Usage(t, s); files > filesBefore+12 || bytes > 2000 {
		t.Errorf("%d files of %d bytes are left, before there were %d files", files, bytes, filesBefore)
	}
}

// TestCreateContainerUndone takes the permission to write from one directory after the other. A container that cannot
// be made leaves nothing, and can be made afterwards.
func TestCreateContainerUndone(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root writes whatever the permissions are")
	}
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app", "x")
	for _, dir := range []string{"fuse/dir", "fuse-layers", "fuse-containers"} {
		t.Run(dir, func(t *testing.T) {
			before := storetest.StoreContent(t, s)
			path := filepath.Join(s.Core().Root, dir)
			if err := os.Chmod(path, 0o500); err != nil {
				t.Fatal(err)
			}
			err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "name", img)
			if restore := os.Chmod(path, 0o700); restore != nil {
				t.Fatal(restore)
			}
			if err == nil {
				t.Fatal("a container was made where nothing can be written")
			}
			if after := storetest.StoreContent(t, s); after != before {
				t.Errorf("%v leaves\n%s\nof what was\n%s", err, after, before)
			}
			if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "name", img); err != nil {
				t.Error(err)
			}
			if err := s.RemoveContainer(context.Background(), storetest.ContainerID(1)); err != nil {
				t.Error(err)
			}
		})
	}
}
