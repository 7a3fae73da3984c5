package layers

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rcrun/rcrun/layers/blobcache"
)

// layerDir is the directory of a layer, which the driver has.
func (s *Store) layerDir(id string) string {
	if s.driverName == DriverOverlay {
		return filepath.Join(s.root, DriverOverlay, filepath.Base(id))
	}
	return filepath.Join(s.root, s.driverName, "dir", filepath.Base(id))
}

// tarSplit is the file which tells, together with its tree, every byte of a layer's tar.
func (s *Store) tarSplit(id string) string {
	return filepath.Join(s.recordDir(layerRecords), id+tarSplitSuffix)
}

const tarSplitSuffix = ".tar-split.gz"

// recordDir is the directory with the records of a kind.
func (s *Store) recordDir(kind string) string {
	return filepath.Join(s.root, s.driverName+"-"+kind)
}

// tempRoot is where unfinished work is kept: downloads, and archives that have to be unpacked to be read.
func (s *Store) tempRoot() string { return filepath.Join(s.root, "tmp") }

// downloads returns the names of blobs that are on their way, or were broken off, and how much of each is there in bytes.
func (s *Store) downloads() (map[string]int64, error) {
	dir := filepath.Join(s.root, "blobs")
	names, err := namesIn(dir)
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

// blobs is where blobs are kept while they are pulled.
func (s *Store) blobs() blobcache.Cache { return blobcache.New(filepath.Join(s.root, "blobs")) }

// vfs finds the files of a store with DriverVFS.
func (s *Store) vfs() vfsLayout { return vfsLayout{filepath.Join(s.root, DriverVFS)} }
