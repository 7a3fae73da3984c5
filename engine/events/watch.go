package events

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// watcher has the kernel tell of changes in a directory.
type watcher struct {
	dir   string
	file  *os.File
	above int // the watch of the directory above
}

// watch begins to watch a directory. The one above is watched for its end: an open file in a removed directory keeps
// the kernel from saying of the directory itself that it is gone.
func watch(dir string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if errors.Is(err, unix.EMFILE) {
		return nil, fmt.Errorf("watch %s: %w (one follower takes a descriptor of this process and one of "+
			"the user's fs.inotify.max_user_instances)", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &watcher{dir: dir, file: os.NewFile(uintptr(fd), "inotify")}
	w.above, err = unix.InotifyAddWatch(fd, filepath.Dir(dir), unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_ONLYDIR)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_ONLYDIR)
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return w, nil
}

func (w *watcher) close() { w.file.Close() }

// wait returns when the directory has changed since the last call, or with the error of ctx.
func (w *watcher) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, 16<<10)
	n, err := w.file.Read(buffer)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("watch %s: %w", w.dir, err)
	case w.isGone(buffer[:n]):
		return fmt.Errorf("watch %s: %w", w.dir, os.ErrNotExist)
	}
	return nil
}

// isGone tells whether one of the kernel's messages says that the directory was removed or renamed.
func (w *watcher) isGone(messages []byte) bool {
	for len(messages) >= unix.SizeofInotifyEvent {
		var head unix.InotifyEvent
		binary.Decode(messages, binary.NativeEndian, &head) // there are as many bytes
		messages = messages[unix.SizeofInotifyEvent:]
		end := min(int(head.Len), len(messages))
		name := string(bytes.TrimRight(messages[:end], "\x00"))
		if int(head.Wd) == w.above && (name == filepath.Base(w.dir) || head.Mask&unix.IN_IGNORED != 0) {
			return true
		}
		messages = messages[end:]
	}
	return false
}
