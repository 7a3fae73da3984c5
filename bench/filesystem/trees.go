package filesystem

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/rcrun/rcrun/bench/workload"
	"github.com/rcrun/rcrun/layers/tree"
)

// trees are the directories that all subjects show. They are made once.
type trees struct {
	dir    string           // where everything is
	stacks map[int][]string // lower directories by number of layers, the lowest first; 0 is the tree with the sources
}

func (t trees) stack(layers int) stack {
	return stack{lowers: t.stacks[layers], key: "stack-" + strconv.Itoa(layers)}
}

// archivePath returns the path of the tar of the tree.
func archivePath(dir string) string { return filepath.Join(dir, "tree.tar") }

// prepareTrees makes what the measurements need. All files belong to the user, so that subjects with owners as metadata
// and subjects with owners on disk can show the same tree.
func prepareTrees(r request, measurements []measurement) (trees, error) {
	t := trees{dir: r.Place, stacks: map[int][]string{}}
	config := workload.Config{Scale: r.Scale}
	main, err := makeTree(r, config)
	if err != nil {
		return t, err
	}
	sources, err := lowerDir(r.Place, "sources")
	if err != nil {
		return t, err
	}
	if err := workload.Sources(config, sources); err != nil {
		return t, err
	}
	t.stacks[0] = []string{main, sources}
	for _, m := range measurements {
		if m.needs == "go" {
			err = workload.FillGoCache(sources)
		} else if t.stacks[m.layers] == nil {
			t.stacks[m.layers], err = workload.Layers(config, filepath.Join(r.Place, "L"+strconv.Itoa(m.layers)),
				lowerName, m.layers)
		}
		if err != nil {
			return t, err
		}
	}
	return t, t.writeIndexes()
}

// lowerName is the name of a lower directory. Each is in a directory of its own, where its index is, too.
const lowerName = "diff"

// lowerDir makes the directory for a lower directory and its index, and returns the path of the lower directory.
func lowerDir(place, of string) (string, error) {
	dir := filepath.Join(place, of)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make tree: %w", err)
	}
	return filepath.Join(dir, lowerName), nil
}

// writeIndexes gives the lower directories the indexes that image layers have.
func (t trees) writeIndexes() error {
	for _, lowers := range t.stacks {
		for _, dir := range lowers {
			if err := writeIndex(dir); err != nil {
				return fmt.Errorf("make tree: %w", err)
			}
		}
	}
	return nil
}

func writeIndex(dir string) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := os.Create(filepath.Join(filepath.Dir(dir), "index"))
	if err != nil {
		return err
	}
	return errors.Join(tree.WriteIndex(root, file), file.Close())
}

// makeTree unpacks an archive without its devices. Without an archive it makes a tree, and packs it.
func makeTree(r request, config workload.Config) (dir string, err error) {
	if dir, err = lowerDir(r.Place, "tree"); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make tree: %w", err)
	}
	if r.Tree == "" {
		err = workload.Tree(config, dir)
	} else {
		err = tar("-xf", r.Tree, "-C", dir, "--no-same-owner", "--exclude=./dev/*")
	}
	if err != nil {
		return "", err
	}
	return dir, tar("-cf", archivePath(r.Place), "-C", dir, ".")
}

func tar(args ...string) error {
	if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("tar %s %s: %w: %s", args[0], args[1], err, out)
	}
	return nil
}
