package layers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/lockfile"
)

// presentFiles are the files and directories of a store that belong to a layer, image or container, by its id, and
// those that belong to nothing.
type presentFiles struct {
	owned     map[string][]string // kind of record and id, joined by a slash, to paths
	temporary []string            // whose writers were killed over them
	damaged   []string            // copies of files of records that had damaged ones
}

func (s *Store) presentFiles() (*presentFiles, error) {
	p := &presentFiles{owned: map[string][]string{}}
	library, err := s.lib.GraphDriver()
	if err != nil {
		return nil, err
	}
	ids, err := library.ListLayers()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		p.owned[layerRecords+"/"+id] = []string{s.layerDir(id)}
	}
	for _, kind := range []string{layerRecords, imageRecords, containerRecords} {
		if err := p.list(kind, s.recordDir(kind)); err != nil {
			return nil, err
		}
		if err := p.listTemporary(kind, s.recordDir(kind)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// list notes the files beside the records of a kind.
func (p *presentFiles) list(kind, dir string) error {
	names, err := namesIn(dir)
	for _, name := range names {
		path := filepath.Join(dir, name)
		if id, ok := recordOwner(name); ok {
			p.owned[kind+"/"+id] = append(p.owned[kind+"/"+id], path)
		}
		if strings.Contains(name, damagedMark) {
			p.damaged = append(p.damaged, path)
		}
	}
	return err
}

// recordOwner finds the id in the name of a file beside the records: that of a directory of an image's or container's
// files, or of the headers of a layer's tar.
func recordOwner(name string) (string, bool) {
	id, isHeaders := strings.CutSuffix(name, tarSplitSuffix)
	if !isHeaders && (len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "") {
		return "", false
	}
	return id, true
}

// temporaryPrefix is how the library's unfinished files begin.
const temporaryPrefix = ".tmp-"

// listTemporary notes files that somebody was killed over while writing. They are written under a lock, so that who
// has the lock finds none that is still being written.
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
	for _, pattern := range []string{temporaryPrefix + "*", "*/" + temporaryPrefix + "*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		p.temporary = append(p.temporary, paths...)
	}
	return nil
}

// unfinishedWork lists the scratch directories that nobody uses any more.
func (s *Store) unfinishedWork() (paths []string, err error) {
	for _, root := range s.scratchRoots() {
		abandoned, _, err := abandonedScratch(root)
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
	path string
	why  string // part of a sentence
}

// unlisted returns what belongs to nothing that is on record before or after, and is still there.
func (p *presentFiles) unlisted(before, after *records) ([]leftover, error) {
	var found []leftover
	for owner, paths := range p.owned {
		if before.owns(owner) || after.owns(owner) {
			continue
		}
		kind, id, _ := strings.Cut(owner, "/")
		for _, path := range paths {
			if _, err := os.Lstat(path); err == nil {
				found = append(found, leftover{path, fmt.Sprintf("no %s %s is on record", strings.TrimSuffix(kind, "s"), id)})
			} else if !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
	}
	slices.SortFunc(found, func(a, b leftover) int { return strings.Compare(a.path, b.path) })
	return found, nil
}

// owns tells whether there is a record of "layers/ID", "images/ID" or "containers/ID".
func (r *records) owns(owner string) bool {
	kind, id, _ := strings.Cut(owner, "/")
	switch kind {
	case layerRecords:
		_, ok := r.layers[id]
		return ok
	case imageRecords:
		return slices.ContainsFunc(r.images, func(img storage.Image) bool { return img.ID == id })
	}
	return slices.ContainsFunc(r.containers, func(c storage.Container) bool { return c.ID == id })
}

// scratchRoots are the directories that hold unfinished work.
func (s *Store) scratchRoots() []string { return []string{s.tempRoot(), s.layout.staging()} }

// atWork tells whether a living process is bringing in an image.
func (s *Store) atWork() bool {
	for _, root := range s.scratchRoots() {
		abandoned, inUse, err := abandonedScratch(root)
		for _, dir := range abandoned {
			dir.Close()
		}
		if err != nil || inUse > 0 {
			return true // with an error, to be on the safe side
		}
	}
	return false
}

// removeTemporary removes an unfinished file of the library's. It was found under the lock of those who write such files,
// and their names are never used again.
func removeTemporary(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
