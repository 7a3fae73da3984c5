package core

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rcrun/rcrun/layers/blobcache"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// LayerDir is the directory of a layer, which the driver has.
func (s *Store) LayerDir(id string) string {
	if s.DriverName == driver.Overlay {
		return filepath.Join(s.Root, driver.Overlay, filepath.Base(id))
	}
	return filepath.Join(s.Root, s.DriverName, "dir", filepath.Base(id))
}

// TarSplit is the file which tells, together with its tree, every byte of a layer's tar.
func (s *Store) TarSplit(id string) string {
	return filepath.Join(s.RecordDir(LayerRecords), id+tarSplitSuffix)
}

const tarSplitSuffix = ".tar-split.gz"

// RecordDir is the directory with the records of a kind.
func (s *Store) RecordDir(kind string) string {
	return filepath.Join(s.Root, s.DriverName+"-"+kind)
}

// TempRoot is where unfinished work is kept: downloads, and archives that have to be unpacked to be read.
func (s *Store) TempRoot() string { return filepath.Join(s.Root, "tmp") }

// Downloads returns the names of blobs that are on their way, or were broken off, and how much of each is there in
// bytes.
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

// Blobs is where blobs are kept while they are pulled.
func (s *Store) Blobs() blobcache.Cache { return blobcache.New(filepath.Join(s.Root, "blobs")) }

// VFS finds the files of a store with DriverVFS.
func (s *Store) VFS() driver.VFSLayout {
	return driver.VFSLayout{Home: filepath.Join(s.Root, driver.VFS)}
}
