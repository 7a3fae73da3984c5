package filesystem

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rcrun/rcrun/bench/workload"
)

// plain is a directory that the stack is copied into, layer by layer. A copy is used again until a workload spoils it.
type plain struct{}

func (plain) name() string { return "plain" }

func (p plain) mount(s stack) (*mounted, error) {
	root := p.copyOf(s)
	if _, err := os.Lstat(root); errors.Is(err, os.ErrNotExist) {
		if err := copyLayers(s.lowers, root); err != nil {
			return nil, err
		}
	}
	return &mounted{root: root, unmount: func() error { return nil }}, nil
}

func (p plain) clean(s stack) error {
	path := p.copyOf(s)
	if !s.spoils {
		path = filepath.Join(path, workload.Scratch)
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("clean up plain directory: %w", err)
	}
	return nil
}

func (plain) copyOf(s stack) string { return filepath.Join(s.place, s.key) }

func copyLayers(layers []string, target string) error {
	if err := os.Mkdir(target, 0o755); err != nil {
		return fmt.Errorf("copy layers: %w", err)
	}
	for _, layer := range layers {
		if out, err := exec.Command("cp", "-a", layer+"/.", target).CombinedOutput(); err != nil {
			return fmt.Errorf("copy layer %s: %w: %s", layer, err, out)
		}
	}
	return nil
}
