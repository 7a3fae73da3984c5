package layers_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// TestCancelled calls all that may block with a context that has ended. Each call must say so, and change nothing.
func TestCancelled(t *testing.T) {
	s := storetest.OpenStore(t)
	img := storetest.MustImport(t, s, "app:1", "x")
	id := storetest.ContainerID(1)
	if err := s.CreateContainer(context.Background(), id, "", img); err != nil {
		t.Fatal(err)
	}
	before := storetest.StoreContent(t, s)
	why := errors.New("nobody wants to know any more")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	for name, call := range cancellable(s, img, id) {
		if err := call(ctx); !errors.Is(err, why) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	images, err := s.Image(context.Background(), "app:1")
	if after := storetest.StoreContent(t, s); after != before || err != nil || images.ID != img.ID {
		t.Errorf("before there was\n%s\nand now\n%s", before, after)
	}
}

func cancellable(s *layers.Store, img *layers.Image, id string) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Images":      func(ctx context.Context) error { _, err := s.Images(ctx); return err },
		"Image":       func(ctx context.Context) error { _, err := s.Image(ctx, "app:1"); return err },
		"ImageLayers": func(ctx context.Context) error { _, err := s.ImageLayers(ctx); return err },
		"ImageLayer":  func(ctx context.Context) error { _, err := s.ImageLayer(ctx, img.TopLayer); return err },
		"Usage":       func(ctx context.Context) error { _, err := s.Usage(ctx); return err },
		"Status":      func(ctx context.Context) error { _, err := s.Status(ctx); return err },
		"Tag":         func(ctx context.Context) error { return s.Tag(ctx, "app:1", "app:2") },
		"Untag":       func(ctx context.Context) error { _, err := s.Untag(ctx, "app:1"); return err },
		"RemoveImage": func(ctx context.Context) error {
			_, err := s.RemoveImage(ctx, "app:1", layers.RemoveOptions{Force: true})
			return err
		},
		"CreateContainer": func(ctx context.Context) error {
			return s.CreateContainer(ctx, storetest.ContainerID(2), "", img)
		},
		"RemoveContainer":  func(ctx context.Context) error { return s.RemoveContainer(ctx, id) },
		"ContainerIDs":     func(ctx context.Context) error { _, err := s.ContainerIDs(ctx); return err },
		"ContainerStack":   func(ctx context.Context) error { _, err := s.ContainerStack(ctx, id); return err },
		"ContainerSize":    func(ctx context.Context) error { _, err := s.ContainerSize(ctx, id); return err },
		"ContainerChanges": func(ctx context.Context) error { _, err := s.ContainerChanges(ctx, id, nil); return err },
		"Prune": func(ctx context.Context) error {
			_,
				err := upkeep.Prune(ctx, s, upkeep.PruneOptions{})
			return err
		},
		"PruneKept": func(ctx context.Context) error { _, err := upkeep.PruneKept(ctx, s); return err },
		"Check": func(ctx context.Context) error {
			_,
				err := upkeep.Check(ctx, s, upkeep.CheckOptions{})
			return err
		},
		"Repair": func(ctx context.Context) error {
			_, err := upkeep.Repair(ctx, s, []upkeep.Problem{{Kind: upkeep.OrphanLayer, ID: id}})
			return err
		},
		"Pull": func(ctx context.Context) error {
			_, err := registry.Pull(ctx, s, "localhost:1/app", registry.PullOptions{})
			return err
		},
		"TagsHere": func(ctx context.Context) error { _, err := registry.TagsHere(ctx, s, "app"); return err },
		"Logout":   func(ctx context.Context) error { return registry.Logout(ctx, "localhost:1", registry.Options{}) },
	}
}
