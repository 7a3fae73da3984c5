package filesystem

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/rcrun/rcrun/bench/workload"
)

// trees is what all subjects show, made once.
type trees struct {
	dir    string           // where everything is
	stacks map[int][]string // lower directories by number of layers, the lowest first; 0 is the tree with the sources
}

func (t trees) stack(layers int) stack {
	return stack{lowers: t.stacks[layers], key: "stack-" + strconv.Itoa(layers)}
}

// archivePath returns where the tar of the tree is going to be.
func archivePath(dir string) string { return filepath.Join(dir, "tree.tar") }

// prepareTrees makes what the measurements need. All files belong to the user, so that what keeps owners as metadata and
// what keeps them on disk can show the same tree.
func prepareTrees(r request, measurements []measurement) (trees, error) {
	t := trees{dir: r.Place, stacks: map[int][]string{}}
	config := workload.Config{Scale: r.Scale}
	tree, err := makeTree(r, config)
	if err != nil {
		return t, err
	}
	sources := filepath.Join(r.Place, "sources")
	if err := workload.Sources(config, sources); err != nil {
		return t, err
	}
	t.stacks[0] = []string{tree, sources}
	for _, m := range measurements {
		if m.needs == "go" {
			err = workload.FillGoCache(sources)
		} else if t.stacks[m.layers] == nil {
			t.stacks[m.layers], err = workload.Layers(config, filepath.Join(r.Place, "L"+strconv.Itoa(m.layers)), m.layers)
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

// makeTree unpacks an archive without its devices, or makes a tree where none is given, and packs it.
func makeTree(r request, config workload.Config) (dir string, err error) {
	dir = filepath.Join(r.Place, "tree")
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
