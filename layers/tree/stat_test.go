package tree

import (
	"path/filepath"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// statAt returns the logical identity of a file of a layer tree that has its xattrs on disk.
func statAt(path string) (layerfmt.Stat, error) {
	pool := &beneath.Pool{}
	defer pool.Close()
	parent, err := pool.Open(filepath.Dir(path))
	if err != nil {
		return layerfmt.Stat{}, err
	}
	return readStat(location{parent, filepath.Base(path), onDisk{}})
}
