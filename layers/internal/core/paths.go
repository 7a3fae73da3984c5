package core

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rcrun/rcrun/layers/blobcache"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// LayerDir returns the directory in which the driver keeps a layer.
func (s *Store) LayerDir(id string) string {
	if s.DriverName == driver.Overlay {
		return filepath.Join(s.Root, driver.Overlay, filepath.Base(id))
	}
	return filepath.Join(s.Root, s.DriverName, "dir", filepath.Base(id))
}

// TarSplit returns the file that tells, together with the layer's tree, every byte of a layer's tar.
func (s *Store) TarSplit(id string) string {
	return filepath.Join(s.RecordDir(LayerRecords), id+tarSplitSuffix)
}

const tarSplitSuffix = ".tar-split.gz"

// RecordDir returns the directory with the records of a kind.
func (s *Store) RecordDir(kind string) string {
	return filepath.Join(s.Root, s.DriverName+"-"+kind)
}

// TempRoot returns the directory of unfinished work: downloads, and archives that must be unpacked to be read.
func (s *Store) TempRoot() string { return filepath.Join(s.Root, "tmp") }

// Downloads returns the blobs that a process is fetching or has not fetched to the end, by name, with the number of
// bytes that are there.
func (s *Store) Downloads() (map[string]int64, error) {
	dir := filepath.Join(s.Root, "blobs")
	names, err := scratch.NamesIn(dir)
	sizes := map[string]int64{}
	for _, name := range names {
		if strings.HasSuffix(name, ".lock") {
			continue
		}
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			sizes[name] = info.Size()
		}
	}
	return sizes, err
}

// Blobs returns the cache that keeps blobs while they are pulled.
func (s *Store) Blobs() blobcache.Cache { return blobcache.New(filepath.Join(s.Root, "blobs")) }

// VFS finds the files of a store with the driver "vfs".
func (s *Store) VFS() driver.VFSLayout {
	return driver.VFSLayout{Home: filepath.Join(s.Root, driver.VFS)}
}
