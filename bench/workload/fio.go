package workload

import (
	"fmt"
	"os"
	"path/filepath"
)

// fio has several processes read and write at random places of a file each.
type fio struct {
	size int // of a file, in bytes
	jobs int
}

func (f fio) Setup(root string) error {
	if err := os.Mkdir(filepath.Join(root, Scratch), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return f.run(root, "--create_only=1")
}

func (f fio) Run(root string) error { return f.run(root) }

func (f fio) run(root string, more ...string) error {
	args := append([]string{"fio", "--name=bench", "--rw=randrw", "--bs=4k", "--ioengine=psync", "--group_reporting",
		"--invalidate=0", "--randseed=1", fmt.Sprintf("--size=%d", f.size), fmt.Sprintf("--numjobs=%d", f.jobs)},
		more...)
	return command{args: args, dir: Scratch}.Run(root)
}
