package unionmount

import (
	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// setOrigin notes in the copy of n behind fd which inode number and time of birth it shows. Meta of n is held.
func (u *Union) setOrigin(n *Node, fd int) error {
	born, err := u.birthHeld(n)
	if err != nil {
		return err
	}
	return u.upper.Xattrs.Set(fd, workdir.OriginXattr, workdir.Origin{Ino: n.ino, Born: born}.Encode(), 0)
}

// Birth returns when a file was made, zero if its filesystem does not know.
func (u *Union) Birth(n *Node) (unix.Timespec, error) {
	n.meta.RLock()
	defer n.meta.RUnlock()
	return u.birthHeld(n)
}

// birthHeld is Birth for a caller that holds meta.
func (u *Union) birthHeld(n *Node) (unix.Timespec, error) {
	if n.foreign != nil && !n.inUpper.Load() {
		return unix.Timespec{}, nil
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return unix.Timespec{}, err
	}
	defer u.fds.Release(h)
	if n.inUpper.Load() {
		noted, ok := u.work.Origins.Get(n.upperKey.Ino)
		if ok && !encoding.CarriesXattrs(n.kind) && noted.From.Ino == n.ino {
			return noted.From.Born, nil
		}
		if value, err := u.upper.Xattrs.Read(beneath.File{FD: h.FD}, workdir.OriginXattr); err == nil {
			from, err := workdir.ParseOrigin(string(value))
			return from.Born, n.fault("read origin of", err)
		}
	}
	born, err := sys.BirthOf(h.FD)
	return born, n.fault("stat", err)
}

// forgetOrigin removes the note of the origin of n if its last name is gone. Meta of n is held, and the file is
// pinned.
func (u *Union) forgetOrigin(n *Node) error {
	if n.kind == unix.S_IFREG || !n.inUpper.Load() {
		return nil
	}
	if _, noted := u.work.Origins.Get(n.upperKey.Ino); !noted {
		return nil
	}
	st, err := u.statBacking(n)
	if err != nil || st.Nlink > 0 {
		return err
	}
	return u.work.Origins.Drop(st.Ino)
}

// findOrigin completes what was found in a directory of the upper by a noted origin. A note is believed only if the
// time of birth of the copy fits, because a crash may leave the note of a file whose inode number another file then
// gets.
func (u *Union) findOrigin(p *layer.Probed, dirfd int, name string) error {
	if encoding.CarriesXattrs(p.Stat.Mode) || p.Whiteout {
		return nil
	}
	noted, ok := u.work.Origins.Get(p.Stat.Ino)
	if !ok {
		return nil
	}
	fd, err := beneath.Open(dirfd, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	born, err := sys.BirthOf(fd)
	if err == nil && born == noted.Born {
		p.Origin = noted.From
	}
	return err
}
