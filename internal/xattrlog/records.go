package xattrlog

import (
	"maps"
	"slices"
)

// Records are the xattrs of files, by inode number. The zero value has none. Only one goroutine may use Records at a
// time.
type Records struct {
	files map[uint64]map[string]string
}

// Get returns the value of an xattr.
func (r *Records) Get(ino uint64, name string) (value string, ok bool) {
	value, ok = r.files[ino][name]
	return value, ok
}

// Names returns the names of a file's xattrs, sorted.
func (r *Records) Names(ino uint64) []string {
	if len(r.files[ino]) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(r.files[ino]))
}

// Set sets an xattr of a file.
func (r *Records) Set(ino uint64, name, value string) {
	if r.files == nil {
		r.files = map[uint64]map[string]string{}
	}
	if r.files[ino] == nil {
		r.files[ino] = map[string]string{}
	}
	r.files[ino][name] = value
}

// Remove removes an xattr.
func (r *Records) Remove(ino uint64, name string) {
	delete(r.files[ino], name)
	if len(r.files[ino]) == 0 {
		delete(r.files, ino)
	}
}

// Forget removes all xattrs of a file.
func (r *Records) Forget(ino uint64) { delete(r.files, ino) }
