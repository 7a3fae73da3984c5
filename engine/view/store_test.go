package view

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers/archive"
)

// testEngine is an engine with the image "base:1" and the container "c1" of it, which has never run.
func testEngine(t *testing.T) *layered.Engine {
	t.Helper()
	e, err := layered.New(engine.Dirs{Data: t.TempDir(), Run: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	store, err := e.Store(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	err = errors.Join(w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: 5}), writeAll(w, "hello"), w.Close())
	if err != nil {
		t.Fatal(err)
	}
	options := archive.ImportOptions{Name: "base:1", Changes: []string{`CMD ["true"]`, "EXPOSE 80", "LABEL k=v"}}
	if _, err := archive.Import(t.Context(), store, &content, options); err != nil {
		t.Fatal(err)
	}
	request := engine.CreateOptions{Name: "c1", Config: engine.Config{Image: "base:1"}}
	if _, _, err := e.Create(t.Context(), request, ""); err != nil {
		t.Fatal(err)
	}
	return e
}

func writeAll(w *tar.Writer, text string) error {
	_, err := w.Write([]byte(text))
	return err
}

// TestViewOfStore looks at an image and a container by each call.
func TestViewOfStore(t *testing.T) {
	e := testEngine(t)
	for name, look := range map[string]func(t *testing.T, e *layered.Engine){
		"containers": lookAtContainers, "images": lookAtImages, "usage": lookAtUsage, "layers": lookAtLayers,
		"inspect": lookAtObjects, "info": lookAtInfo,
	} {
		t.Run(name, func(t *testing.T) { look(t, e) })
	}
}

func lookAtContainers(t *testing.T, e *layered.Engine) {
	if list, _, err := Containers(t.Context(), e, ListOptions{}); err != nil || len(list) != 0 {
		t.Errorf("running are %v, %v", list, err)
	}
	list, broken, err := Containers(t.Context(), e, ListOptions{All: true, Size: true})
	if err != nil || len(broken) > 0 || len(list) != 1 {
		t.Fatalf("listed are %v, %v, %v", list, broken, err)
	}
	c := list[0]
	if c.Image != "base:1" || c.Names[0] != "/c1" || c.SizeRootFs-c.SizeRw < 5 || c.Status != "Created" {
		t.Errorf("got %+v", c)
	}
	var filter Filter
	if err := filter.Add("before", "c1"); err != nil {
		t.Fatal(err)
	}
	if list, _, err := Containers(t.Context(), e, ListOptions{All: true, Filter: filter}); err != nil ||
		len(list) != 0 {
		t.Errorf("before the container are %v, %v", list, err)
	}
	if err := filter.Add("since", "nosuch"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Containers(t.Context(), e, ListOptions{Filter: filter}); !errdefs.IsNotFound(err) {
		t.Errorf("since a container that is not there: %v", err)
	}
}

func lookAtImages(t *testing.T, e *layered.Engine) {
	list, broken, err := Images(t.Context(), e, ImageListOptions{Measure: true})
	if err != nil || len(broken) > 0 || len(list) != 1 {
		t.Fatalf("listed are %v, %v, %v", list, broken, err)
	}
	if i := list[0]; i.RepoTags[0] != "base:1" || i.Containers != 1 || i.SharedSize != 0 || i.UniqueSize != i.Size {
		t.Errorf("got %+v", i)
	}
	var options ImageListOptions
	if err := AddImageFilter(&options.Filter, "label", "k=w"); err != nil {
		t.Fatal(err)
	}
	if list, _, err := Images(t.Context(), e, options); err != nil || len(list) != 0 {
		t.Errorf("of another label are %v, %v", list, err)
	}
	steps, err := History(t.Context(), e, "base:1")
	if err != nil || len(steps) == 0 || !strings.HasPrefix(steps[0].ID, "sha256:") || steps[0].Made == nil {
		t.Errorf("the history is %+v, %v", steps, err)
	}
}

func lookAtUsage(t *testing.T, e *layered.Engine) {
	use, broken, err := DiskUsage(t.Context(), e)
	if err != nil || len(broken) > 0 {
		t.Fatal(broken, err)
	}
	if i := use.ImageUsage; i.TotalCount != 1 || i.ActiveCount != 1 || i.TotalSize == 0 || i.Reclaimable != 0 {
		t.Errorf("images take %+v", i)
	}
	if c := use.ContainerUsage; c.TotalCount != 1 || c.ActiveCount != 0 || c.TotalSize != c.Reclaimable {
		t.Errorf("containers take %+v", c)
	}
}

func lookAtLayers(t *testing.T, e *layered.Engine) {
	all, err := Layers(t.Context(), e)
	if err != nil || len(all) != 1 {
		t.Fatalf("layers are %v, %v", all, err)
	}
	if l, err := InspectLayer(t.Context(), e, all[0].ChainID.Encoded()[:12]); err != nil || l.(Layer).Size == 0 {
		t.Errorf("the layer is %+v, %v", l, err)
	}
	c, err := InspectLayer(t.Context(), e, "c1")
	if err != nil || c.(ContainerLayers).Parent != all[0].ChainID {
		t.Errorf("the container's layers are %+v, %v", c, err)
	}
	nodes, unmeasured, err := Tree(t.Context(), e, []string{"c1"})
	var kinds []string
	for _, n := range nodes {
		kinds = append(kinds, n.Kind)
	}
	if err != nil || len(unmeasured) > 0 || !slices.Equal(kinds, []string{WritableNode, InitNode, ImageNode}) {
		t.Errorf("the tree is %+v, %v, %v", nodes, unmeasured, err)
	}
}

func lookAtObjects(t *testing.T, e *layered.Engine) {
	object, err := Inspect(t.Context(), e, "c1", true)
	if c, ok := object.(*engine.Inspection); err != nil || !ok || *c.SizeRootFs-*c.SizeRw < 5 ||
		len(c.Config.ExposedPorts) != 1 {
		t.Errorf("the container is %+v, %v", object, err)
	}
	object, err = Inspect(t.Context(), e, "base:1", false)
	if i, ok := object.(*ImageInspection); err != nil || !ok || i.Config.Cmd[0] != "true" ||
		i.GraphDriver.Name != "fuse" {
		t.Errorf("the image is %+v, %v", object, err)
	}
	if _, err := Inspect(t.Context(), e, "nosuch", false); !errdefs.IsNotFound(err) {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := InspectLayer(t.Context(), e, "nosuch"); !errdefs.IsNotFound(err) {
		t.Errorf("a layer that is not there: %v", err)
	}
}

func lookAtInfo(t *testing.T, e *layered.Engine) {
	info, err := Describe(t.Context(), e, "1.2")
	if err != nil || info.ServerVersion != "1.2" || info.Containers != 1 || info.ContainersStopped != 1 ||
		info.Images != 1 || info.Driver != "fuse" || len(info.DriverStatus) == 0 {
		t.Errorf("got %+v, %v", info, err)
	}
}

// TestCancelledViews has each call end with its context.
func TestCancelledViews(t *testing.T) {
	e := testEngine(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, _, listed := Containers(ctx, e, ListOptions{All: true})
	_, _, images := Images(ctx, e, ImageListOptions{})
	_, _, usage := DiskUsage(ctx, e)
	_, history := History(ctx, e, "base:1")
	_, inspected := Inspect(ctx, e, "c1", true)
	_, layer := InspectLayer(ctx, e, "c1")
	_, _, tree := Tree(ctx, e, []string{"c1"})
	_, info := Describe(ctx, e, "1")
	for i, err := range []error{listed, images, usage, history, inspected, layer, tree, info} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
