package upkeep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/ioutils"

	"github.com/rcrun/rcrun/internal/ctxio"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/progress"
	"github.com/rcrun/rcrun/layers/tree"
)

// CheckOptions is how thoroughly to check a store.
type CheckOptions struct {
	// Deep reads every file of the image layers, and compares their tars with the digests on record.
	Deep bool
	// Progress is told how much of all layers has been read; nil is quiet.
	Progress progress.Func
}

// Problem is something that is wrong with a store.
type Problem struct {
	// Kind is what it is about.
	Kind ProblemKind
	// ID is that of the image, layer or container; of a leftover it is the path.
	ID string
	// Names are those of a damaged image.
	Names []string
	// Text says what is wrong, as a part of a sentence.
	Text string
}

// ProblemKind is what a Problem is about.
type ProblemKind string

// The kinds of problems.
const (
	BrokenImage     ProblemKind = "image"
	BrokenLayer     ProblemKind = "layer"
	BrokenIndex     ProblemKind = "index" // of a layer
	BrokenContainer ProblemKind = "container"
	Leftover        ProblemKind = "leftover" // is there, but nothing needs it
	OrphanLayer     ProblemKind = "orphan"   // belongs to a container that is gone
	LostRecords     ProblemKind = "records"  // a file has records that could not be read, and were taken out of use
)

// Check looks for what is on record but cannot be used, and for what is there but not on record. It holds no lock while
// it reads files, and may run beside anything else: work of a living process is not a leftover.
func Check(ctx context.Context, s *layers.Store, opts CheckOptions) ([]Problem, error) {
	problems, err := check(ctx, s, opts)
	if err != nil {
		return nil, fmt.Errorf("check the store %s: %w", s.Core().Root, err)
	}
	return problems, nil
}

func check(ctx context.Context, s *layers.Store, opts CheckOptions) ([]Problem, error) {
	s.Core().TakeOver() // as an opening of the store does
	// Files are listed before records: a layer or an image gets its record before its files, so a file that is listed
	// has a record.
	present, err := s.Core().PresentFiles()
	if err != nil {
		return nil, err
	}
	r, err := s.Core().Records(ctx)
	if err != nil {
		return nil, err
	}
	c := &checker{store: s, records: r, badLayers: map[string]bool{},
		counted: &progress.Meter{To: opts.Progress, Total: contentSize(r)}}
	if err := c.checkLayers(ctx, opts.Deep); err != nil {
		return nil, err
	}
	for _, img := range r.Images {
		c.checkImage(img)
	}
	for _, container := range r.Containers {
		c.checkContainer(container)
	}
	c.checkKept()
	// What is not on record any more was not broken but is being removed.
	after, err := s.Core().Records(ctx)
	if err != nil {
		return nil, err
	}
	problems := slices.DeleteFunc(c.problems, func(p Problem) bool { return !has(after, p) })
	leftovers, err := present.Unlisted(r, after)
	if err != nil {
		return nil, err
	}
	for _, left := range leftovers {
		problems = append(problems, Problem{Leftover, left.Path, nil, left.Why})
	}
	for _, path := range present.Temporary {
		problems = append(problems, Problem{Leftover, path, nil, "it was being written when its writer ended"})
	}
	for _, path := range present.Damaged {
		problems = append(problems, Problem{LostRecords, path, nil,
			"some records in it could not be read, and are not used any more"})
	}
	abandoned, err := s.Core().UnfinishedWork()
	for _, path := range abandoned {
		problems = append(problems, Problem{Leftover, path, nil, "unfinished work that nobody goes on with"})
	}
	return problems, err
}

// has tells whether what a problem is about is still on record.
func has(r *core.Records, p Problem) bool {
	switch p.Kind {
	case BrokenLayer, BrokenIndex:
		_, ok := r.Layers[p.ID]
		return ok
	case BrokenImage:
		return slices.ContainsFunc(r.Images, func(img storage.Image) bool { return img.ID == p.ID })
	case BrokenContainer:
		return slices.ContainsFunc(r.Containers, func(c storage.Container) bool { return c.ID == p.ID })
	}
	return true
}

// checker looks at what is on record.
type checker struct {
	store     *layers.Store
	records   *core.Records
	badLayers map[string]bool
	counted   *progress.Meter // of the content of layers
	problems  []Problem
}

func (c *checker) add(kind ProblemKind, id string, names []string, format string, args ...any) {
	c.problems = append(c.problems, Problem{Kind: kind, ID: id, Names: names, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) checkLayers(ctx context.Context, deep bool) error {
	containers := map[string]bool{}
	for _, container := range c.records.Containers {
		containers[container.LayerID] = true
	}
	for id, layer := range c.records.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := checkLayer(c.store, layer, c.records)
		if err == nil && !containers[id] {
			err = checkIndex(c.store, id, deep)
		}
		if errors.Is(err, tree.ErrBadIndex) {
			c.add(BrokenIndex, id, nil, "%v", err)
			err = nil
		}
		if err == nil && deep && !containers[id] {
			err = checkContent(ctx, c.store, layer, c.counted)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.badLayers[id] = true
			c.add(BrokenLayer, id, nil, "%v", err)
		}
	}
	slices.SortFunc(c.problems, func(a, b Problem) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

// checkLayer compares a layer's record with its directory.
func checkLayer(s *layers.Store, layer storage.Layer, r *core.Records) error {
	if layer.Parent != "" {
		if _, ok := r.Layers[layer.Parent]; !ok {
			return fmt.Errorf("the layer %s below it is missing", layer.Parent)
		}
	}
	if err := checkTree(s, layer); err != nil {
		return err
	}
	if layer.UncompressedDigest == "" {
		return nil // a container's
	}
	if info, err := os.Stat(s.Core().TarSplit(layer.ID)); err != nil {
		return fmt.Errorf("the headers of its tar are missing: %w", err)
	} else if info.Size() == 0 {
		return errors.New("the headers of its tar are missing: the file is empty")
	}
	return nil
}

// checkTree looks for the directory of a layer.
func checkTree(s *layers.Store, layer storage.Layer) error {
	if s.Core().DriverName != driver.Fuse {
		if _, err := os.Stat(s.Core().LayerDir(layer.ID)); err != nil {
			return fmt.Errorf("its files are missing: %w", err)
		}
		return nil
	}
	if info, err := os.Stat(s.Core().Layout.Diff(layer.ID)); errors.Is(err, os.ErrNotExist) {
		return errors.New("its files are missing")
	} else if err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", s.Core().Layout.Diff(layer.ID))
	}
	parent, err := s.Core().Layout.Parent(layer.ID)
	if err == nil && parent != layer.Parent {
		err = fmt.Errorf("its directory names the layer %q below it, its record %q", parent, layer.Parent)
	}
	return err
}

// checkContent makes the tar of a layer again and compares it with the digest and size on record.
func checkContent(ctx context.Context, s *layers.Store, layer storage.Layer, counted *progress.Meter) error {
	if layer.UncompressedDigest == "" {
		return nil
	}
	digester := digest.Canonical.Digester()
	counter := ioutils.NewWriteCounter(digester.Hash())
	err := s.Core().WriteTar(counted.Writer(ctxio.Writer(ctx, counter)), layer.ID)
	if err != nil {
		return fmt.Errorf("its files are not what was unpacked: %w", err)
	}
	if digester.Digest() != layer.UncompressedDigest || counter.Count != layer.UncompressedSize {
		return fmt.Errorf("its files are not what was unpacked: the tar has %d bytes and the digest %s instead of "+
			"%d and %s",
			counter.Count, digester.Digest(), layer.UncompressedSize, layer.UncompressedDigest)
	}
	return nil
}

// checkImage looks whether an image has all its layers and files.
func (c *checker) checkImage(record storage.Image) {
	var texts []string
	diffIDs, err := c.checkChain(record.TopLayer)
	if err != nil {
		texts = append(texts, err.Error())
	}
	if err := checkConfig(c.store, record, diffIDs, err == nil); err != nil {
		texts = append(texts, err.Error())
	}
	for _, name := range record.BigDataNames {
		if err := checkImageFile(c.store, record, name); err != nil {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) > 0 {
		c.add(BrokenImage, record.ID, record.Names, "%s", strings.Join(slices.Compact(texts), "; "))
	}
}

// checkChain looks at a layer and all below it, and returns their diff ids, the undermost first.
func (c *checker) checkChain(id string) (diffIDs []digest.Digest, err error) {
	for range driver.MaxLayers {
		if id == "" {
			slices.Reverse(diffIDs)
			return diffIDs, nil
		}
		layer, ok := c.records.Layers[id]
		if !ok {
			return nil, fmt.Errorf("layer %s is missing", id)
		}
		if c.badLayers[id] {
			return nil, fmt.Errorf("layer %s is broken", id)
		}
		diffIDs = append(diffIDs, layer.UncompressedDigest)
		id = layer.Parent
	}
	return nil, fmt.Errorf("it has more than %d layers", driver.MaxLayers)
}

// checkConfig reads the configuration of an image and compares it with the image's id and layers.
func checkConfig(s *layers.Store, record storage.Image, diffIDs []digest.Digest, compare bool) error {
	data, err := s.Core().Lib.ImageBigData(record.ID, core.ConfigKey(record.ID))
	if err != nil {
		return fmt.Errorf("its configuration cannot be read: %w", err)
	}
	if got := digest.FromBytes(data); got.Encoded() != record.ID {
		return fmt.Errorf("its configuration has the digest %s", got)
	}
	var img layers.Image
	if err := img.SetConfig(data); err != nil {
		return fmt.Errorf("its configuration cannot be read: %w", err)
	}
	if want := img.Config.RootFS.DiffIDs; compare && !slices.Equal(want, diffIDs) {
		return fmt.Errorf("its layers %v are not those of its configuration, %v", diffIDs, want)
	}
	return nil
}

// checkImageFile compares a file of an image with its size on record, and where that is recorded with its digest.
func checkImageFile(s *layers.Store, record storage.Image, name string) error {
	data, err := s.Core().Lib.ImageBigData(record.ID, name)
	if err != nil {
		return fmt.Errorf("its file %q cannot be read: %w", name, err)
	}
	if size := record.BigDataSizes[name]; int64(len(data)) != size {
		return fmt.Errorf("its file %q has %d bytes instead of %d", name, len(data), size)
	}
	got, err := digest.FromBytes(data), error(nil)
	if strings.HasPrefix(name, storage.ImageDigestManifestBigDataNamePrefix) {
		got, err = manifest.Digest(data) // without the signature that docker's first registries put in
	}
	if want := record.BigDataDigests[name]; err != nil || want != got {
		return fmt.Errorf("its file %q has not the digest %s", name, want)
	}
	return nil
}

// checkContainer looks whether a container has its layers.
func (c *checker) checkContainer(record storage.Container) {
	if _, err := c.checkChain(record.LayerID); err != nil {
		c.add(BrokenContainer, record.ID, record.Names, "%v", err)
	}
}

// checkKept looks for layers of cut-off transfers that nobody has needed for core.KeepTime.
func (c *checker) checkKept() {
	if c.store.Core().AtWork() {
		return // that process may be about to use them
	}
	for _, layer := range c.records.Abandoned(time.Now().Add(-core.KeepTime)) {
		c.add(Leftover, c.store.Core().LayerDir(layer.ID), nil, "no image or container has this layer, since %s",
			layer.Created.Local().Format(time.DateTime))
	}
}

// contentSize returns the sum of the sizes in bytes of the image layers on record.
func contentSize(r *core.Records) (size int64) {
	for _, layer := range r.Layers {
		if layer.UncompressedDigest != "" {
			size += max(0, layer.UncompressedSize)
		}
	}
	return size
}
