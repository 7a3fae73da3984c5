package layer

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// Walk visits the files in a tree of the upper, except whiteouts.
type Walk struct {
	Visit func(dir int, name string, st *unix.Stat_t)
}

// Tree visits everything below a directory. It walks down and up with only one directory open, because a container
// decides how deep they lie.
func (w *Walk) Tree(root int) error {
	dir, err := beneath.Open(root, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { unix.Close(dir) }()
	enter := func(name string) error {
		var next int
		err := sys.Owning(dir, func() (err error) {
			next, err = beneath.Open(dir, name, unix.O_PATH|unix.O_DIRECTORY, 0)
			return err
		})
		if err == nil {
			unix.Close(dir)
			dir = next
		}
		return err
	}
	names, err := w.Dir(dir)
	above := [][]string{}
	for err == nil {
		switch last := len(names) - 1; {
		case last >= 0:
			below := names[last]
			above = append(above, names[:last])
			if err = enter(below); err == nil {
				names, err = w.Dir(dir)
			}
		case len(above) == 0:
			return nil
		default:
			names, above = above[len(above)-1], above[:len(above)-1]
			err = enter("..")
		}
	}
	return err
}

// Dir visits the files in a directory, and returns the names of the directories among them.
func (w *Walk) Dir(dir int) (dirs []string, err error) {
	var names []string
	err = sys.Owning(dir, func() error {
		fd, err := beneath.Open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		names = nil
		return beneath.ReadDir(fd, func(e beneath.Entry) { names = append(names, e.Name) })
	})
	if err != nil {
		return nil, err
	}
	return dirs, sys.Owning(dir, func() (err error) {
		dirs, err = w.names(dir, names)
		return err
	})
}

func (w *Walk) names(dir int, names []string) (dirs []string, err error) {
	for _, name := range names {
		st, err := beneath.Stat(dir, name)
		if err != nil {
			return nil, err
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFCHR && st.Rdev == 0, layerfmt.ReservedName(name):
			continue
		case kind == unix.S_IFDIR:
			dirs = append(dirs, name)
		}
		w.Visit(dir, name, &st)
	}
	return dirs, nil
}
