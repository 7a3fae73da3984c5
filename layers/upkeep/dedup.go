package upkeep

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
)

// The library can share the content of files, too, but holds the lock on all layers while it reads all of them. No lock
// is needed: the kernel compares the files itself before it shares them, even if another process writes or removes one
// meanwhile.

const (
	// leastShared is the size in bytes from which files are compared. Smaller files have no block of their own.
	leastShared = 4096
	// shareAtOnce is how many bytes the kernel compares in one call. btrfs takes no more.
	shareAtOnce = 16 << 20
)

// Deduped is what Dedup has found.
type Deduped struct {
	// Files are the files that share their content with another one, those from before included.
	Files int
	// Bytes is the size of these files.
	Bytes int64
}

// Dedup has equal files of image layers share their content on disk, if the filesystem can do that. Nothing changes for
// the users of the layers, and the store stays in use.
func Dedup(ctx context.Context, s *layers.Store) (Deduped, error) {
	if s.Core().DriverName != driver.Fuse {
		return Deduped{}, fmt.Errorf("share equal files: the storage driver is %s; this is for %s: %w",
			s.Core().DriverName, driver.Fuse, errors.ErrUnsupported)
	}
	if err := canShare(ctx, s); err != nil {
		return Deduped{}, fmt.Errorf("share equal files: %w", err)
	}
	candidates, err := sizes(ctx, s)
	if err != nil {
		return Deduped{}, fmt.Errorf("share equal files: %w", err)
	}
	var total Deduped
	for size, paths := range candidates {
		if err := total.share(ctx, size, paths); err != nil {
			return total, fmt.Errorf("share equal files: %w", err)
		}
	}
	return total, nil
}

// canShare tells why files of the store cannot share their content; nil if they can.
func canShare(ctx context.Context, s *layers.Store) (err error) {
	place, err := s.Core().Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.Close()) }()
	var fds [2]int
	for i := range fds {
		file, err := os.Create(filepath.Join(place.Path, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		defer file.Close()
		fds[i] = int(file.Fd())
	}
	if err := unix.IoctlFileClone(fds[0], fds[1]); err != nil {
		return fmt.Errorf("the filesystem of %s (%s) cannot do that, as btrfs and XFS can: %w", s.Core().Root,
			driver.BackingFilesystem(s.Core().Root), errors.ErrUnsupported)
	}
	return nil
}

// sizes returns the files of image layers by their size in bytes, each file under one of its names.
func sizes(ctx context.Context, s *layers.Store) (map[int64][]string, error) {
	r, err := s.Core().Records(ctx)
	if err != nil {
		return nil, err
	}
	found, seen := map[int64][]string{}, map[uint64]bool{}
	for id, layer := range r.Layers {
		if layer.UncompressedDigest == "" {
			continue // a container's, which changes
		}
		err := filepath.WalkDir(s.Core().Layout.Diff(id), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENAMETOOLONG) {
				return nil // removed meanwhile, or so deep that it is not worth its while
			}
			if err = errors.Join(err, ctx.Err()); err != nil || !entry.Type().IsRegular() {
				return err
			}
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); errors.Is(err, unix.ENAMETOOLONG) {
				return nil
			} else if err != nil || st.Size < leastShared || seen[st.Ino] {
				return ignoreMissing(err)
			}
			seen[st.Ino] = true
			found[st.Size] = append(found[st.Size], path)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// share has equal files among files of one size share their content.
func (d *Deduped) share(ctx context.Context, size int64, paths []string) error {
	if len(paths) < 2 {
		return nil
	}
	first := map[[sha256.Size]byte]string{}
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		sum, err := sumOf(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		like, ok := first[sum]
		if !ok {
			first[sum] = path
			continue
		}
		shared, err := shareFiles(like, path, size)
		if err := ignoreMissing(err); err != nil {
			return err
		}
		if shared {
			d.Files, d.Bytes = d.Files+1, d.Bytes+size
		}
	}
	return nil
}

func sumOf(path string) (sum [sha256.Size]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}

// shareFiles has two files of the same size share their content, and tells whether they do.
func shareFiles(from, to string, size int64) (bool, error) {
	source, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer source.Close()
	// The owner may share the content of a file that is open for reading. A file of an image that is open for writing
	// could not be executed.
	dest, err := os.Open(to)
	if err != nil {
		return false, err
	}
	defer dest.Close()
	for offset := int64(0); offset < size; {
		request := unix.FileDedupeRange{
			Src_offset: uint64(offset),
			Src_length: uint64(min(size-offset, shareAtOnce)),
			Info:       []unix.FileDedupeRangeInfo{{Dest_fd: int64(dest.Fd()), Dest_offset: uint64(offset)}},
		}
		if err := unix.IoctlFileDedupeRange(int(source.Fd()), &request); err != nil {
			return false, &os.PathError{Op: "share content of", Path: to, Err: err}
		}
		answer := request.Info[0]
		if answer.Status < 0 {
			return false, &os.PathError{Op: "share content of", Path: to, Err: unix.Errno(-answer.Status)}
		}
		if answer.Status != unix.FILE_DEDUPE_RANGE_SAME || answer.Bytes_deduped == 0 {
			return false, nil
		}
		offset += int64(answer.Bytes_deduped)
	}
	return true, nil
}
