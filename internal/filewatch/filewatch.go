// Package filewatch waits for changes in a directory, as the kernel tells of them (inotify).
//
// A user has a limited number of watches (fs.inotify.max_user_instances, often 128), which all programs of the user
// share. A watcher that gets none looks at the clock instead: Wait then returns each tenth of a second.
package filewatch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Change is what a wait ended with.
type Change int

// The changes. Any stands for more than one, and for changes that only the clock tells of.
const (
	Any  Change = iota
	Data        // files have more or other data, and nothing else has changed
)

// Watcher waits for changes in one directory.
type Watcher struct {
	dir   string
	names []string // the files that count; all where there are none
	lock  string   // see WatchLock
	file  *os.File // nil where the user has too many
	above int      // the watch of the directory above
	pause time.Duration
}

const (
	// lookPause is how often a watcher looks that the kernel tells nothing.
	lookPause = 100 * time.Millisecond
	// firstPause is how long the release of a lock file takes after its close was told, at first guess.
	firstPause = time.Millisecond
	// lastPause is the longest of the pauses after which a watcher of a lock file looks again.
	lastPause = time.Minute
)

// New begins to watch a directory: the files in it that are named, or all. A change before the first Wait ends that at
// once.
func New(dir string, names ...string) (*Watcher, error) {
	w := &Watcher{dir: dir, names: names}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if errors.Is(err, unix.EMFILE) {
		return w, nil
	}
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w.file = os.NewFile(uintptr(fd), "inotify")
	err = w.add(fd)
	if err == nil {
		return w, nil
	}
	w.Close()
	if errors.Is(err, unix.ENOSPC) { // the number of watched files has a limit, too
		w.file = nil
		return w, nil
	}
	return nil, fmt.Errorf("watch %s: %w", dir, err)
}

// WatchLock is New that also counts the close of a lock file, by whatever process. The kernel tells of a close just
// before it releases the lock, so Wait returns several times after that, at growing intervals. The caller must not open
// the file for writing without need, because each close ends a wait.
func WatchLock(dir, lock string, names ...string) (*Watcher, error) {
	w, err := New(dir, append(names, lock)...)
	if err == nil {
		w.lock = lock
	}
	return w, err
}

// add adds the watches. The directory above is watched for the end of this one: an open file in a removed directory
// keeps the kernel from saying of the directory itself that it is gone. Where the caller may not read the one above,
// the directory itself has to do.
func (w *Watcher) add(fd int) (err error) {
	w.above, err = unix.InotifyAddWatch(fd, filepath.Dir(w.dir), unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_ONLYDIR)
	if err != nil && !errors.Is(err, unix.EACCES) {
		return err
	}
	_, err = unix.InotifyAddWatch(fd, w.dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVE|
		unix.IN_CLOSE_WRITE|unix.IN_DELETE_SELF|unix.IN_ONLYDIR)
	return err
}

// Close ends the watch.
func (w *Watcher) Close() {
	if w.file != nil {
		w.file.Close()
	}
}

// Wait returns when the directory has changed since the last call, or with the error of ctx. A directory that is gone
// is os.ErrNotExist.
func (w *Watcher) Wait(ctx context.Context) (Change, error) {
	stop := func() bool { return true }
	if w.file != nil {
		w.file.SetReadDeadline(w.nextLook())
		stop = context.AfterFunc(ctx, func() { w.file.SetReadDeadline(time.Unix(1, 0)) })
	}
	defer stop()
	for {
		seen, err := w.read(ctx)
		switch {
		case ctx.Err() != nil:
			return Any, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Any, nil
		case err != nil:
			return Any, fmt.Errorf("watch %s: %w", w.dir, err)
		case seen.gone:
			return Any, fmt.Errorf("watch %s: %w", w.dir, os.ErrNotExist)
		case seen.released:
			w.pause = firstPause
			return Any, nil
		case seen.other:
			return Any, nil
		case seen.data:
			return Data, nil
		}
	}
}

// nextLook is when Wait returns though the kernel tells nothing; the zero time for never.
func (w *Watcher) nextLook() time.Time {
	if w.pause == 0 {
		return time.Time{}
	}
	next := time.Now().Add(w.pause)
	w.pause = min(2*w.pause, lastPause)
	return next
}

// changes are what the kernel told at one time.
type changes struct{ gone, released, other, data bool }

// read returns the next changes. Files that do not count are none.
func (w *Watcher) read(ctx context.Context) (seen changes, err error) {
	if w.file == nil {
		return w.look(ctx), nil
	}
	buffer := make([]byte, 16<<10)
	n, err := w.file.Read(buffer)
	for messages := buffer[:max(n, 0)]; len(messages) >= unix.SizeofInotifyEvent; {
		var head unix.InotifyEvent
		binary.Decode(messages, binary.NativeEndian, &head) // there are as many bytes
		messages = messages[unix.SizeofInotifyEvent:]
		end := min(int(head.Len), len(messages))
		w.note(&seen, head, string(bytes.TrimRight(messages[:end], "\x00")))
		messages = messages[end:]
	}
	return seen, err
}

// look waits by the clock.
func (w *Watcher) look(ctx context.Context) changes {
	select {
	case <-ctx.Done():
	case <-time.After(lookPause):
	}
	_, err := os.Lstat(w.dir)
	return changes{other: true, gone: errors.Is(err, os.ErrNotExist)}
}

// note adds what one message says.
func (w *Watcher) note(seen *changes, head unix.InotifyEvent, name string) {
	switch {
	case head.Mask&unix.IN_Q_OVERFLOW != 0:
		seen.other, seen.released = true, w.lock != ""
	case int(head.Wd) == w.above:
		seen.gone = seen.gone || name == filepath.Base(w.dir) || head.Mask&unix.IN_IGNORED != 0
	case head.Mask&unix.IN_DELETE_SELF != 0:
		seen.gone = true
	case len(w.names) > 0 && !slices.Contains(w.names, name):
	case head.Mask&unix.IN_CLOSE_WRITE != 0:
		seen.released = seen.released || name == w.lock
	case head.Mask&unix.IN_MODIFY != 0:
		seen.data = true
	default:
		seen.other = true
	}
}
