package workload

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// scratchFile is the file that data is written to and read from.
func scratchFile(root string) string { return filepath.Join(root, Scratch, "data") }

// transfer reads or writes a file from its beginning to its end.
type transfer struct {
	size, block int64
	write       bool
}

func (t transfer) Setup(root string) error {
	if err := os.Mkdir(filepath.Join(root, Scratch), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if t.write {
		return nil
	}
	return writeFile(scratchFile(root), t.size, t.block)
}

func (t transfer) Run(root string) error {
	if t.write {
		return writeFile(scratchFile(root), t.size, t.block)
	}
	return readFile(scratchFile(root), make([]byte, t.block))
}

// writeFile makes a file of the given size in writes of one block each. It does not sync the file, because that would
// measure the disk.
func writeFile(path string, size, block int64) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	buffer := make([]byte, block)
	for i := range buffer {
		buffer[i] = byte(i) // so that the filesystem stores it
	}
	for range size / block {
		if _, err := file.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

// random reads or overwrites 4 KiB at random places of a file. The places are the same each time.
type random struct {
	size  int64
	count int
	write bool
}

func (r random) Setup(root string) error {
	return transfer{size: r.size, block: 1 << 20}.Setup(root)
}

func (r random) Run(root string) (err error) {
	file, err := os.OpenFile(scratchFile(root), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	access := file.ReadAt
	if r.write {
		access = file.WriteAt
	}
	places := rand.New(rand.NewPCG(1, 2))
	buffer := make([]byte, 4096)
	for range r.count {
		if _, err := access(buffer, places.Int64N(r.size/4096)*4096); err != nil {
			return err
		}
	}
	return nil
}
