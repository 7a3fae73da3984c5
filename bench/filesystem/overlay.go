package filesystem

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// overlay is the kernel's overlay, mounted in a user namespace.
type overlay struct{ layered }

func (overlay) name() string { return "overlay" }

// mount names the directories relative to the working directory, because the options of a mount must fit into a page.
func (o overlay) mount(s stack) (*mounted, error) {
	if err := o.prepare(s); err != nil {
		return nil, err
	}
	here, err := filepath.Abs(".")
	if err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	dirs := append(s.nearestFirst(), s.upper(), s.work())
	for i := range dirs {
		if dirs[i], err = filepath.Rel(here, dirs[i]); err != nil {
			return nil, fmt.Errorf("mount overlay: %w", err)
		}
	}
	n := len(s.lowers)
	options := fmt.Sprintf("userxattr,lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(dirs[:n], ":"), dirs[n],
		dirs[n+1])
	if err := unix.Mount("overlay", s.target(), "overlay", 0, options); err != nil {
		return nil, fmt.Errorf("mount overlay of %d layers: %w", n, err)
	}
	return &mounted{root: s.target(), unmount: func() error { return unmount(s.target()) }}, nil
}

func unmount(target string) error {
	if err := unix.Unmount(target, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}
