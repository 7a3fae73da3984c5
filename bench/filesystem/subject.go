package filesystem

import (
	"fmt"
	"os"
	"path/filepath"
)

// subject is a way to show a stack of directories as one directory that can be changed.
type subject interface {
	name() string
	mount(s stack) (*mounted, error)
	// clean removes the changes after the unmount.
	clean(s stack) error
}

// stack is directories that a subject shows as one.
type stack struct {
	lowers  []string // the lowest first
	key     string   // names the lowers
	place   string   // an existing directory for a subject's own use
	options string   // for this module's filesystem
	spoils  bool     // the workload changes more than workload.Scratch
}

func (s stack) upper() string  { return filepath.Join(s.place, "upper") }
func (s stack) work() string   { return filepath.Join(s.place, "work") }
func (s stack) target() string { return filepath.Join(s.place, "mnt") }

// nearestFirst returns the lowers in the order in which unions name them.
func (s stack) nearestFirst() []string {
	var dirs []string
	for i := range s.lowers {
		dirs = append(dirs, s.lowers[len(s.lowers)-1-i])
	}
	return dirs
}

// mounted is what a subject shows.
type mounted struct {
	root    string
	server  *server // nil where the kernel alone does it
	unmount func() error
}

// layered is what all subjects with an upper directory have in common.
type layered struct{}

// prepare makes the directories that a mount needs.
func (layered) prepare(s stack) error {
	for _, dir := range []string{s.upper(), s.work(), s.target()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("prepare mount: %w", err)
		}
	}
	return nil
}

func (layered) clean(s stack) error {
	for _, dir := range []string{s.upper(), s.work()} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clean up after mount: %w", err)
		}
	}
	return nil
}
