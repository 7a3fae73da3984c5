package workload

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// walk reads every directory and the attributes of every entry, as find -printf does.
type walk struct {
	workers int
	before  int // how often it is done before the clock runs
}

func (w walk) Setup(root string) error { return repeat(w.before, root, w.Run) }

func repeat(times int, root string, run func(root string) error) error {
	for range times {
		if err := run(root); err != nil {
			return err
		}
	}
	return nil
}

func (w walk) Run(root string) error {
	return visitTree(root, w.workers, func(string, fs.FileInfo) error { return nil })
}

// Walk reads every directory below root and the attributes of every entry.
func Walk(root string) error { return walk{workers: 1}.Run(root) }

// readTree is walk that also reads all regular files.
type readTree struct {
	workers int
	before  int // how often it is done before the clock runs
}

func (r readTree) Setup(root string) error { return repeat(r.before, root, r.Run) }

func (r readTree) Run(root string) error {
	buffers := sync.Pool{New: func() any { return new([128 << 10]byte) }}
	return visitTree(root, r.workers, func(path string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return nil
		}
		buffer := buffers.Get().(*[128 << 10]byte)
		defer buffers.Put(buffer)
		return readFile(path, buffer[:])
	})
}

// readFile reads a file to its end and discards it.
func readFile(path string, buffer []byte) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		_, err := file.Read(buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// visitTree calls visit for everything below root, for a directory before its entries, from as many goroutines at once
// as there are workers.
func visitTree(root string, workers int, visit func(path string, info fs.FileInfo) error) error {
	v := visitor{visit: visit, idle: make(chan struct{}, workers-1)}
	v.directory(root)
	v.busy.Wait()
	if v.err != nil {
		return fmt.Errorf("visit tree: %w", v.err)
	}
	return nil
}

type visitor struct {
	visit func(path string, info fs.FileInfo) error
	idle  chan struct{} // has room for one entry of each worker beside the first
	busy  sync.WaitGroup

	once sync.Once
	err  error // the first one
}

// directory visits the entries of a directory. It leaves directories in it to another worker if one is idle.
func (v *visitor) directory(path string) {
	entries, err := os.ReadDir(path)
	v.note(err)
	for _, entry := range entries {
		name := filepath.Join(path, entry.Name())
		info, err := entry.Info()
		if err == nil {
			err = v.visit(name, info)
		}
		v.note(err)
		if !entry.IsDir() {
			continue
		}
		select {
		case v.idle <- struct{}{}:
			v.busy.Go(func() {
				v.directory(name)
				<-v.idle
			})
		default:
			v.directory(name)
		}
	}
}

func (v *visitor) note(err error) {
	if err != nil {
		v.once.Do(func() { v.err = err })
	}
}
