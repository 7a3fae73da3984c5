package layers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// The environment of the process that is killed.
const (
	crashDirEnv  = "LAYERS_TEST_CRASH_DIR"
	crashSeedEnv = "LAYERS_TEST_CRASH_SEED"
	crashHostEnv = "LAYERS_TEST_CRASH_HOST" // of the registry
)

// crashImages are images that share a layer, each with one of its own.
func crashImages(t testing.TB) (images []*storetest.Sample) {
	t.Helper()
	base := storetest.RootfsTar(t, "x")
	for i := range 4 {
		own := storetest.ArchiveOf(t, storetest.File{Name: fmt.Sprintf("own%d", i),
			Data: bytes.Repeat([]byte{byte(i)}, 20_000)}, storetest.File{Name: "etc/motd", Data: []byte{byte(i)}})
		images = append(images, storetest.NewSample(t, "amd64", base, own))
	}
	return images
}

// TestKilledAnywhere kills processes that bring images in, remove them, and make and remove containers, at random
// moments. After every kill, all that is listed must be whole, and nothing may be left of what was not finished. In the
// end everything is removed, and nothing at all may remain.
func TestKilledAnywhere(t *testing.T) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashWorker(t, dir)
		return
	}
	kills := 200
	if testing.Short() {
		kills = 30
	}
	images := crashImages(t)
	host := storetest.NewRegistry(t)
	for i, img := range images {
		host.Push(t, img, "crash", fmt.Sprint(i))
	}
	dir, seed := t.TempDir(), rand.Uint64()
	t.Logf("seed %d", seed)
	source := rand.New(rand.NewPCG(seed, 0))
	for n := range kills {
		killWorker(t, dir, host.Host, source)
		verifyStore(t, dir, n%10 == 0)
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
	}
	emptyStore(t, dir)
}

// killWorker lets a process work for a moment and kills it.
func killWorker(t *testing.T, dir, host string, source *rand.Rand) {
	t.Helper()
	cmd := again(t, crashDirEnv+"="+dir, crashHostEnv+"="+host, fmt.Sprintf("%s=%d", crashSeedEnv, source.Uint64()))
	var output bytes.Buffer
	cmd.Stderr = &output
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It says when it begins, since starting takes the longest.
	begun := make([]byte, 1)
	for begun[0] != '!' {
		if _, err := io.ReadFull(stdout, begun); err != nil {
			t.Fatalf("the worker ended: %v: %s", err, output.String())
		}
	}
	time.Sleep(time.Duration(source.IntN(60_000)) * time.Microsecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(stdout)
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the worker ended: %v: %s%s", err, rest, output.String())
	}
}

// verifyStore opens the store as the next process would, and looks at everything in it.
func verifyStore(t *testing.T, dir string, deep bool) {
	t.Helper()
	s, err := layers.Open(layers.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	images, err := s.Images(context.Background())
	if err != nil {
		t.Errorf("list images: %v", err)
	}
	for _, img := range images {
		if len(img.Layers) == 0 || len(img.Layers) != len(img.Config.RootFS.DiffIDs) {
			t.Errorf("image %s %v has the layers %v, its configuration %v", img.ID, img.RepoTags, img.Layers,
				img.Config.RootFS.DiffIDs)
		}
	}
	for _, p := range storetest.MustCheck(t, s, deep) {
		t.Errorf("%s %s %v: %s", p.Kind, p.ID, p.Names, p.Text)
	}
}

// emptyStore removes all that is in a store and checks that only the library's own files remain.
func emptyStore(t *testing.T, dir string) {
	t.Helper()
	s := storetest.OpenStoreAt(t, dir)
	ids, err := s.Core().ContainerIDs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := s.RemoveContainer(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
	if _, err := upkeep.Prune(context.Background(), s, upkeep.PruneOptions{All: true}); err != nil {
		t.Error(err)
	}
	if _, err := upkeep.PruneKept(context.Background(), s); err != nil {
		t.Error(err)
	}
	storetest.IsClean(t, s)
	for _, path := range storeFiles(t, s) {
		t.Errorf("left in the empty store: %s", path)
	}
}

// storeFiles lists what is in a store but for the records themselves, locks, and directories that always exist.
func storeFiles(t testing.TB, s *layers.Store) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(s.Core().Root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == s.Core().Reserve() {
			return err
		}
		name, _ := filepath.Rel(s.Core().Root, path)
		depth := strings.Count(name, "/")
		isRecord := depth == 1 && strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".lock")
		isCache := strings.HasPrefix(name, "cache") // which image is known by which digest
		if !isRecord && !isCache && (depth > 1 || !e.IsDir()) {
			paths = append(paths, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// crashWorker does one thing after the other until it is killed. Only an error that cannot come of its being killed
// before ends it.
func crashWorker(t *testing.T, dir string) {
	seed, err := strconv.ParseUint(os.Getenv(crashSeedEnv), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	source := rand.New(rand.NewPCG(seed, 1))
	images := crashImages(t)
	archives := make([]string, len(images))
	for i, img := range images {
		archives[i] = filepath.Join(dir, fmt.Sprintf("archive%d.tar", i))
		if _, err := os.Stat(archives[i]); err != nil {
			data := storetest.DockerArchiveOf(t, []*storetest.Sample{img}, [][]string{{fmt.Sprintf("loaded:%d", i)}})
			if err := os.WriteFile(archives[i], data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	fmt.Print("!")
	s := storetest.OpenStoreAt(t, dir)
	for {
		if err := crashStep(t, s, source, archives); err != nil && !errdefs.IsNotFound(err) &&
			!errdefs.IsConflict(err) && !errdefs.IsConflict(err) {
			t.Fatal(err)
		}
	}
}

// crashStep does one thing at random.
func crashStep(t *testing.T, s *layers.Store, source *rand.Rand, archives []string) error {
	ctx, i := context.Background(), source.IntN(len(archives))
	switch source.IntN(10) {
	case 0:
		_, err := archive.Import(ctx, s, bytes.NewReader(storetest.RootfsTar(t, fmt.Sprint(i))),
			archive.ImportOptions{Name: fmt.Sprintf("imported:%d", i)})
		return err
	case 1, 2:
		_, err := archive.Load(ctx, s, archives[i], nil, archive.LoadOptions{})
		return err
	case 3, 4:
		_, err := registry.Pull(ctx, s, fmt.Sprintf("%s/crash:%d", os.Getenv(crashHostEnv), i), registry.PullOptions{})
		return err
	case 5:
		img, err := s.Image(ctx, fmt.Sprintf("loaded:%d", i))
		if err != nil {
			return err
		}
		return s.CreateContainer(ctx, storetest.ContainerID(source.IntN(1000)), "", img)
	case 6:
		return crashCommit(ctx, s, source)
	case 7:
		ids, err := s.Core().ContainerIDs(ctx)
		for _, id := range ids {
			err = errors.Join(err, s.RemoveContainer(ctx, id))
		}
		return err
	}
	images, err := s.Images(ctx)
	if err != nil || len(images) == 0 {
		return err
	}
	_, err = s.RemoveImage(ctx, images[source.IntN(len(images))].ID, layers.RemoveOptions{Force: true})
	return err
}

// crashCommit makes an image of one of the containers, after changing it.
func crashCommit(ctx context.Context, s *layers.Store, source *rand.Rand) error {
	ids, err := s.Core().ContainerIDs(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	id := ids[source.IntN(len(ids))]
	stack, err := s.ContainerStack(ctx, id)
	if err != nil {
		return err
	}
	change := filepath.Join(stack.Upper, fmt.Sprintf("change%d", source.IntN(3)))
	if err := os.WriteFile(change, []byte{byte(source.IntN(256))}, 0o644); err != nil {
		return err
	}
	record, err := s.Core().Lib.Container(id)
	if core.IsMissing(err) {
		return nil // of one whose removal was killed, only the layer may be left
	}
	if err != nil {
		return err
	}
	_, err = archive.Commit(ctx, s, id, archive.CommitOptions{Image: record.ImageID, Name: "committed"})
	return err
}
