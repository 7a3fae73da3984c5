package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// ChooseXattrs finds out where the xattrs of an upper that is not HostOwned are. An upper keeps the choice that was
// made when it was new. A new one gets a record if the filesystem keeps no xattrs or beside asks for it.
func (l *Layer) ChooseXattrs(workDir string, beside bool) error {
	if l.HostOwned {
		return nil
	}
	work, err := unix.Open(workDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open work directory %s: %w", workDir, err)
	}
	defer unix.Close(work)
	root, err := sys.Stat(l.Root)
	if err != nil {
		return fmt.Errorf("stat layer %s: %w", l.Dir, err)
	}
	log, err := xattrlog.Open(work, root.Ino)
	if errors.Is(err, fs.ErrNotExist) {
		if !beside && l.hasXattrs() {
			return nil
		}
		log, err = l.newRecord(work, root.Ino)
	} else if err == nil && log.Unclean() {
		err = l.dropGone(log, work)
	}
	if err != nil {
		record := filepath.Join(workDir, xattrlog.Name)
		return fmt.Errorf("layer %s: owners and xattrs are kept in %s: %w", l.Dir, record, err)
	}
	l.Xattrs = encoding.NewBeside(log)
	l.Policy = encoding.NewCallerOwned(l.Xattrs)
	return nil
}

// hasXattrs tells whether the filesystem of a layer keeps xattrs of users.
func (l *Layer) hasXattrs() bool {
	_, err := beneath.File{FD: l.Root}.Xattr(workdir.OriginXattr)
	return err != unix.EOPNOTSUPP && err != unix.ENOSYS
}

// newRecord makes the record of an upper, which must be empty: otherwise nothing would say what its files stand for.
func (l *Layer) newRecord(work int, root uint64) (*xattrlog.Log, error) {
	if left, err := os.ReadDir(l.Dir); err != nil {
		return nil, err
	} else if len(left) > 0 {
		return nil, fmt.Errorf("%w, and the directory is not empty", fs.ErrNotExist)
	}
	return xattrlog.Create(work, root)
}

// dropGone removes from the record, after a crash, the files that are neither in the tree nor in the index of hard
// links.
func (l *Layer) dropGone(log *xattrlog.Log, work int) error {
	root, err := sys.Stat(l.Root)
	if err != nil {
		return err
	}
	inos := map[uint64]bool{root.Ino: true}
	w := Walk{Visit: func(_ int, _ string, st *unix.Stat_t) { inos[st.Ino] = true }}
	if err := w.Tree(l.Root); err != nil {
		return err
	}
	index, err := workdir.MakeDir(work, layerfmt.LinkIndex)
	if err != nil {
		return err
	}
	defer unix.Close(index)
	if _, err := w.Dir(index); err != nil {
		return err
	}
	return log.Retain(inos)
}
