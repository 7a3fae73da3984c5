package tree

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
)

// Size returns the sum of the sizes in bytes of the regular files that a container sees of a tree. It counts each inode
// once, and passes over what a running container removes meanwhile.
func Size(ctx context.Context, t Tree) (int64, error) {
	pool := &beneath.Pool{}
	defer pool.Close()
	root, err := t.open(pool)
	if err != nil {
		return 0, err
	}
	defer root.xattrs.close()
	var size int64
	seen := map[inode]bool{}
	err = each(root, func(at location, st *unix.Stat_t) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1 && seen[inode{st.Dev, st.Ino}] {
			return nil
		}
		if st.Nlink > 1 {
			seen[inode{st.Dev, st.Ino}] = true
		}
		logical, err := logicalStat(at, st)
		// the others are files on disk that hold what links cannot
		if err == nil && logical.Mode&unix.S_IFMT == unix.S_IFREG {
			size += st.Size
		}
		return err
	})
	return size, err
}

// each visits all files on disk below a directory except directories. It passes over what is gone.
func each(d dir, visit func(at location, st *unix.Stat_t) error) error {
	var entries []beneath.Entry
	if err := d.Read(func(e beneath.Entry) { entries = append(entries, e) }); err != nil {
		return ifNotGone(d.self().fault("read", err))
	}
	for _, e := range entries {
		at := d.child(e.Name)
		if err := visitEntry(at, e.Type, visit); ifNotGone(err) != nil {
			return err
		}
	}
	return nil
}

func visitEntry(at location, kind uint8, visit func(at location, st *unix.Stat_t) error) error {
	if kind != unix.DT_DIR {
		st, err := at.stat()
		if err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return visit(at, &st)
		}
	}
	below, err := at.enter()
	if err != nil {
		return err
	}
	defer below.leave()
	return each(below, visit)
}

// ifNotGone returns the error, but nil if the entry is gone.
func ifNotGone(err error) error {
	if isGone(err) {
		return nil
	}
	return err
}
