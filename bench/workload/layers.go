package workload

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// The numbers of files and directories of a tree in layers. They do not depend on the number of layers, so trees differ
// only in how many layers must be searched.
const (
	layeredFiles = 2560
	layeredDirs  = 16
)

// Layers makes n layers below dir, which it creates, and returns their paths, the lowest first. Each layer is a
// directory with the given name in a directory of its own, and has all the directories of the tree and an even share of
// its files.
func Layers(c Config, dir, name string, n int) ([]string, error) {
	layers := make([]string, n)
	for i := range layers {
		layers[i] = filepath.Join(dir, strconv.Itoa(i), name)
		for d := range layeredDirs {
			if err := os.MkdirAll(filepath.Join(layers[i], layeredDir(d)), 0o755); err != nil {
				return nil, fmt.Errorf("make layers: %w", err)
			}
		}
	}
	for i := range c.count(layeredFiles) {
		if err := os.WriteFile(filepath.Join(layers[i%n], layeredFile(i)), []byte("layer"), 0o644); err != nil {
			return nil, fmt.Errorf("make layers: %w", err)
		}
	}
	return layers, nil
}

func layeredDir(i int) string { return "dir-" + strconv.Itoa(i%layeredDirs) }

func layeredFile(i int) string { return filepath.Join(layeredDir(i), "file-"+strconv.Itoa(i)) }

// lookup looks up every file of a tree in layers by name, and as many names that no layer has.
type lookup struct {
	nothing
	files int
}

func (l lookup) Run(root string) error {
	for i := range l.files {
		path := filepath.Join(root, layeredFile(i))
		if _, err := os.Lstat(path); err != nil {
			return err
		}
		if _, err := os.Lstat(path + "-missing"); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look up %s-missing: got %v", path, err)
		}
	}
	return nil
}
