package layer

import (
	"fmt"
	"slices"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"golang.org/x/sys/unix"
)

// spaceShift leaves 2^48 inode numbers to each device. No filesystem in use has more; larger numbers are folded.
const spaceShift = 48

// ShowIno returns the st_ino that a union shows for an inode number of the layer.
func (l *Layer) ShowIno(ino uint64) uint64 {
	return l.space<<spaceShift | (ino^ino>>spaceShift)&(1<<spaceShift-1)
}

// fileID is a file of the host.
type fileID struct{ dev, ino uint64 }

// NumberSpaces gives each device of the layers a number of its own, so that inode numbers of different devices
// differ. A host directory that has another layer within it, or lies within another, gets a number for itself,
// because a union may show its files twice.
func NumberSpaces(layers []*Layer) error {
	overlapping, err := overlaps(layers)
	if err != nil {
		return err
	}
	var devs []uint64
	for i, l := range layers {
		dev := l.Dev
		if l.HostOwned && overlapping[i] {
			dev = 0 // of no other layer
		}
		number := slices.Index(devs, dev)
		if number < 0 || dev == 0 {
			number = len(devs)
			devs = append(devs, dev)
		}
		l.space = uint64(number)
	}
	return nil
}

// overlaps tells for each layer whether it lies within another or has another within it.
func overlaps(layers []*Layer) ([]bool, error) {
	found := make([]bool, len(layers))
	if !slices.ContainsFunc(layers, func(l *Layer) bool { return l.HostOwned }) {
		return found, nil
	}
	byRoot := map[fileID]int{}
	above := make([][]fileID, len(layers))
	for i, l := range layers {
		var err error
		if above[i], err = ancestors(l.Root); err != nil {
			return nil, fmt.Errorf("find what is above layer %s: %w", l.Dir, err)
		}
		if other, twice := byRoot[above[i][0]]; twice {
			found[i], found[other] = true, true
		}
		byRoot[above[i][0]] = i
	}
	for i := range layers {
		for _, id := range above[i][1:] {
			if other, ok := byRoot[id]; ok {
				found[i], found[other] = true, true
			}
		}
	}
	return found, nil
}

// ancestors returns a directory and those above it, as far as they can be reached.
func ancestors(dirfd int) ([]fileID, error) {
	fd, err := beneath.Open(dirfd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	var ids []fileID
	for err == nil {
		st, statErr := sys.Stat(fd)
		id := fileID{st.Dev, st.Ino}
		if statErr != nil || len(ids) > 0 && ids[len(ids)-1] == id { // at the top
			unix.Close(fd)
			return ids, statErr
		}
		ids = append(ids, id)
		below := fd
		fd, err = beneath.Open(below, "..", unix.O_PATH|unix.O_DIRECTORY, 0)
		unix.Close(below)
	}
	if len(ids) > 0 {
		return ids, nil // this process may not look above, and so has no layers there
	}
	return nil, err
}
