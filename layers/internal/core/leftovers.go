package core

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/lockfile"

	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// presentFiles are the files and directories of a store that belong to a layer, image or container, by its id, and
// those that belong to nothing.
type presentFiles struct {
	owned     map[string][]string // kind of record and id, joined by a slash, to paths
	Temporary []string            // their writers were killed
	Damaged   []string            // copies of files of records that had damaged records
}

// PresentFiles lists the files of the store.
func (s *Store) PresentFiles() (*presentFiles, error) {
	p := &presentFiles{owned: map[string][]string{}}
	library, err := s.Lib.GraphDriver()
	if err != nil {
		return nil, err
	}
	ids, err := library.ListLayers()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		p.owned[LayerRecords+"/"+id] = []string{s.LayerDir(id)}
	}
	for _, kind := range []string{LayerRecords, ImageRecords, containerRecords} {
		if err := p.list(kind, s.RecordDir(kind)); err != nil {
			return nil, err
		}
		if err := p.listTemporary(kind, s.RecordDir(kind)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// list notes the files beside the records of a kind.
func (p *presentFiles) list(kind, dir string) error {
	names, err := scratch.NamesIn(dir)
	for _, name := range names {
		path := filepath.Join(dir, name)
		if id, ok := recordOwner(name); ok {
			p.owned[kind+"/"+id] = append(p.owned[kind+"/"+id], path)
		}
		if strings.Contains(name, damagedMark) {
			p.Damaged = append(p.Damaged, path)
		}
	}
	return err
}

// recordOwner finds the id in the name of a file beside the records. The file is a directory with an image's or a
// container's files, or has the headers of a layer's tar.
func recordOwner(name string) (string, bool) {
	id, isHeaders := strings.CutSuffix(name, tarSplitSuffix)
	if !isHeaders && (len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "") {
		return "", false
	}
	return id, true
}

// TemporaryPrefix begins the names of the library's unfinished files.
const TemporaryPrefix = ".tmp-"

// listTemporary notes files whose writer was killed while it wrote them. Writers hold a lock; so a process that has the
// lock finds no file that is still being written.
func (p *presentFiles) listTemporary(kind, dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := lockfile.GetLockFile(filepath.Join(dir, kind+".lock"))
	if err != nil {
		return err
	}
	lock.RLock()
	defer lock.Unlock()
	for _, pattern := range []string{TemporaryPrefix + "*", "*/" + TemporaryPrefix + "*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		p.Temporary = append(p.Temporary, paths...)
	}
	return nil
}

// UnfinishedWork lists the scratch directories that no process uses any more.
func (s *Store) UnfinishedWork() (paths []string, err error) {
	for _, root := range s.ScratchRoots() {
		abandoned, _, err := scratch.Abandoned(root)
		for _, dir := range abandoned {
			paths = append(paths, dir.Name())
			dir.Close()
		}
		if err != nil {
			return paths, err
		}
	}
	return paths, nil
}

// leftover is a file or directory that belongs to nothing on record.
type leftover struct {
	Path string
	Why  string // part of a sentence
}

// Unlisted returns what is still there and belongs to nothing that is on record, neither before nor after.
func (p *presentFiles) Unlisted(before, after *Records) ([]leftover, error) {
	var found []leftover
	for owner, paths := range p.owned {
		if before.owns(owner) || after.owns(owner) {
			continue
		}
		kind, id, _ := strings.Cut(owner, "/")
		for _, path := range paths {
			if _, err := os.Lstat(path); err == nil {
				found = append(found, leftover{path,
					fmt.Sprintf("no %s %s is on record", strings.TrimSuffix(kind, "s"), id)})
			} else if !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
	}
	slices.SortFunc(found, func(a, b leftover) int { return strings.Compare(a.Path, b.Path) })
	return found, nil
}

// owns tells whether there is a record of "layers/ID", "images/ID" or "containers/ID".
func (r *Records) owns(owner string) bool {
	kind, id, _ := strings.Cut(owner, "/")
	switch kind {
	case LayerRecords:
		_, ok := r.Layers[id]
		return ok
	case ImageRecords:
		return slices.ContainsFunc(r.Images, func(img storage.Image) bool { return img.ID == id })
	}
	return slices.ContainsFunc(r.Containers, func(c storage.Container) bool { return c.ID == id })
}

// ScratchRoots are the directories that hold unfinished work.
func (s *Store) ScratchRoots() []string { return []string{s.TempRoot(), s.Layout.Staging()} }

// AtWork tells whether a living process is bringing in an image.
func (s *Store) AtWork() bool {
	for _, root := range s.ScratchRoots() {
		abandoned, inUse, err := scratch.Abandoned(root)
		for _, dir := range abandoned {
			dir.Close()
		}
		if err != nil || inUse > 0 {
			return true // after an error the answer must be the safe one
		}
	}
	return false
}

// RemoveTemporary removes an unfinished file of the library. The file was found under the lock that its writers hold,
// and its name is never used again.
func RemoveTemporary(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
