package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// copyBuffer is how much of a file is written at once.
const copyBuffer = 1 << 20

// EntryError is a failure to unpack one entry of a tar.
type EntryError struct {
	Name string // as the tar has it
	Err  error
}

func (e *EntryError) Error() string { return fmt.Sprintf("unpack entry %q: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// UnpackOptions say how to unpack a tar.
type UnpackOptions struct {
	// Lowers are the layers below. A directory that the tar leaves out takes its owner and mode from them.
	Lowers Lowers
	Limits Limits
	// Metadata takes what plain files cannot show, if the filesystem keeps no xattrs; otherwise it is nil.
	Metadata *Metadata
}

// Unpack writes the entries of an uncompressed tar into the tree at root, an open directory, and returns the sum of the
// sizes of its regular files in bytes. It reads to the end of r. Only after an error may one read of r still be under
// way. After an error the tree cannot be used, and the caller removes it.
func Unpack(root *os.File, r io.Reader, opts UnpackOptions) (size int64, err error) {
	u, err := newUnpacker(root, opts)
	if err != nil {
		return 0, err
	}
	defer u.pool.Close()
	defer u.lowers.close()
	ahead := newReadAhead(r)
	defer ahead.stop()
	if err = u.run(ahead); err == nil {
		err = ahead.finish() // a wrong digest shows in its error
	}
	return u.size, err
}

// unpacker is the state of one Unpack.
type unpacker struct {
	walker   *walker
	keeper   keeper
	pool     *beneath.Pool // of the lowers
	lowers   *finder
	limits   Limits
	dirTimes map[string]time.Time // by path from the root
	viaLink  map[string]bool      // the paths of entries that were made below a link
	size     int64
	buf      []byte // through which content goes

	// whiteoutFiles says that mknod(2) is refused here, so that whiteouts are files.
	whiteoutFiles bool
}

func newUnpacker(root *os.File, opts UnpackOptions) (*unpacker, error) {
	pool := &beneath.Pool{}
	lowers, err := opts.Lowers.open(pool)
	if err != nil {
		pool.Close()
		return nil, err
	}
	u := &unpacker{walker: newWalker(int(root.Fd()), onDisk{}), keeper: onDisk{}, pool: pool, lowers: newFinder(lowers),
		limits:   opts.Limits.OrDefaults(),
		dirTimes: map[string]time.Time{}, viaLink: map[string]bool{}, buf: make([]byte, copyBuffer)}
	if opts.Metadata != nil {
		u.keeper, u.walker.xattrs = opts.Metadata, inRecord{&opts.Metadata.records}
	}
	return u, nil
}

func (u *unpacker) run(r io.Reader) error {
	defer u.walker.forget()
	tr := tar.NewReader(r)
	last := ""
	for range u.limits.Entries {
		hdr, err := tr.Next()
		if err == io.EOF {
			return u.applyDirTimes()
		}
		if errors.Is(err, storage.ErrDuplicatePath) {
			return &EntryError{Name: last, Err: err} // the source of the tar has found it
		}
		if err != nil {
			return fmt.Errorf("read tar: %w", err)
		}
		last = hdr.Name
		if err := u.entry(hdr, tr); err != nil {
			return &EntryError{Name: hdr.Name, Err: err}
		}
	}
	return fmt.Errorf("read tar: %w: more than %d entries", ErrTooLarge, u.limits.Entries)
}

// target is where an entry goes.
type target struct {
	parts   []string // never empty; without links, except that the last may be one
	dirfd   int      // of the parent; the walker's
	base    string
	viaLink bool // says that the entry has a name with links
}

func (u *unpacker) entry(hdr *tar.Header, content io.Reader) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil // comments of the archiver, such as git's commit id
	}
	if IsSparse(hdr) {
		return errors.New("sparse files have no place in image layers; make the tar without --sparse")
	}
	if err := u.limits.check(hdr, u.size); err != nil {
		return err
	}
	parts, err := splitName(hdr.Name)
	if err != nil {
		return err
	}
	if len(parts) > u.limits.Depth {
		return fmt.Errorf("%w: the name is %d levels deep, more than %d", ErrTooLarge, len(parts), u.limits.Depth)
	}
	if len(parts) == 0 {
		return u.rootEntry(hdr)
	}
	t, err := u.locate(parts)
	if err != nil {
		return err
	}
	kind, hidden := parseDeletion(t.base)
	switch kind {
	case opaqueMark:
		return markOpaque(u.keeper, t.dirfd)
	case whiteout:
		t.base, t.parts[len(t.parts)-1] = hidden, hidden
		return u.writeWhiteout(t, hdr.ModTime)
	case ignoredMark:
		return nil
	case badMark:
		return errReserved
	}
	return u.create(hdr, t, content)
}

// IsSparse tells whether the content in the tar differs from the content of the file.
func IsSparse(hdr *tar.Header) bool {
	if hdr.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func (u *unpacker) rootEntry(hdr *tar.Header) error {
	if hdr.Typeflag != tar.TypeDir {
		return errors.New("the root of the layer is not a directory")
	}
	m, err := headerMeta(hdr)
	if err != nil {
		return err
	}
	u.dirTimes[""] = hdr.ModTime
	return m.apply(u.keeper, u.walker.root)
}

// locate opens the parent directory, and makes what is missing of it.
func (u *unpacker) locate(parts []string) (target, error) {
	last := len(parts) - 1
	dirfd, dir, err := u.walker.enter(parts[:last], u.makeParent)
	if err != nil {
		return target{}, fmt.Errorf("open parent directory: %w", err)
	}
	t := target{parts: append(slices.Clone(dir), parts[last]), dirfd: dirfd, base: parts[last],
		viaLink: !slices.Equal(dir, parts[:last])}
	if len(t.parts) > u.limits.Depth {
		return target{}, fmt.Errorf("%w: the name leads %d levels deep, more than %d", ErrTooLarge, len(t.parts),
			u.limits.Depth)
	}
	if t.viaLink {
		u.viaLink[strings.Join(t.parts, "/")] = true
	}
	return t, nil
}

// makeParent makes a directory that the tar has no entry for (yet): as the layers below have it, else 0:0 0755.
func (u *unpacker) makeParent(dirfd int, parts []string) error {
	return u.makeDir(target{parts: parts, dirfd: dirfd, base: parts[len(parts)-1]}, meta{stat: u.lowers.parent(parts)})
}

// parent returns the owner and mode of a directory that a tar has no entry for.
func (f *finder) parent(parts []string) layerfmt.Stat {
	if st, ok := f.lookup(parts); ok && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return st
	}
	return layerfmt.Stat{Mode: unix.S_IFDIR | 0o755}
}
