package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// filesPerDirectory is how many files the workloads here put into one directory.
const filesPerDirectory = 1000

// create makes empty files, every worker in directories of its own.
type create struct {
	nothing
	files, workers int
}

func (c create) Run(root string) error {
	errs := make([]error, c.workers)
	var busy sync.WaitGroup
	for worker := range c.workers {
		dir := filepath.Join(root, Scratch, strconv.Itoa(worker))
		busy.Go(func() { errs[worker] = createFiles(dir, c.files/c.workers) })
	}
	busy.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func createFiles(dir string, count int) error {
	for i := range count {
		path := nthFile(dir, i)
		if i%filesPerDirectory == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return fmt.Errorf("close %s: %w", path, err)
		}
	}
	return nil
}

func nthFile(dir string, i int) string {
	return filepath.Join(dir, strconv.Itoa(i/filesPerDirectory), "file-"+strconv.Itoa(i))
}

// stat asks for the attributes of files by name.
type stat struct{ files int }

func (s stat) Setup(root string) error { return createFiles(filepath.Join(root, Scratch), s.files) }

func (s stat) Run(root string) error {
	for i := range s.files {
		if _, err := os.Lstat(nthFile(filepath.Join(root, Scratch), i)); err != nil {
			return err
		}
	}
	return nil
}

// unlink removes files that were just made, by name.
type unlink struct{ files int }

func (u unlink) Setup(root string) error { return createFiles(filepath.Join(root, Scratch), u.files) }

func (u unlink) Run(root string) error {
	for i := range u.files {
		if err := os.Remove(nthFile(filepath.Join(root, Scratch), i)); err != nil {
			return err
		}
	}
	return nil
}

// untar unpacks the archive of the tree into a directory of its own.
type untar struct{ archive string }

func (u untar) Setup(root string) error {
	if err := os.Mkdir(filepath.Join(root, Scratch), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return nil
}

func (u untar) Run(root string) error {
	return command{args: []string{"tar", "-xf", u.archive}, dir: Scratch}.Run(root)
}

// removeUnpacked removes what untar unpacks.
type removeUnpacked struct{ untar }

func (r removeUnpacked) Setup(root string) error {
	if err := r.untar.Setup(root); err != nil {
		return err
	}
	return r.untar.Run(root)
}

func (r removeUnpacked) Run(root string) error {
	return command{args: []string{"rm", "-rf", Scratch}}.Run(root)
}
