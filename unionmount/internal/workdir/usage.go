package workdir

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/eintr"
	"github.com/rcrun/rcrun/internal/filecopy"
	"golang.org/x/sys/unix"
)

// UsageName is the name of the file in the work directory that keeps what the upper takes from one Open to the next.
const UsageName = "usage"

// Usage is what that file has. After a reboot it does not count, because neither the file nor its removal is flushed
// to the disk.
type Usage struct {
	Boot   string `json:"boot"`
	Bytes  int64  `json:"bytes"`
	Inodes int64  `json:"inodes"`
	Grown  int64  `json:"grown"` // the bytes that came since the files were last counted
}

// BootID returns the kernel's id of this boot of the machine, or "" if there is none.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// TakeUsage reads the file and removes it. ok is false if there is none that counts.
func (s *Dir) TakeUsage() (record Usage, ok bool) {
	fd, err := beneath.Open(s.root, UsageName, unix.O_RDONLY, 0)
	if err != nil {
		return record, false
	}
	defer unix.Close(fd)
	var buf [256]byte
	n, err := eintr.Retry(func() (int, error) { return unix.Pread(fd, buf[:], 0) })
	removed := unix.Unlinkat(s.root, UsageName, 0)
	if err != nil || removed != nil || json.Unmarshal(buf[:n], &record) != nil {
		return record, false
	}
	return record, record.Boot != "" && record.Boot == BootID()
}

// KeepUsage writes the file, in one step.
func (s *Dir) KeepUsage(record Usage) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	name := s.NewName()
	fd, err := beneath.Open(s.Drafts, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the usage of the upper directory: %w", err)
	}
	err = filecopy.WriteAll(fd, text, 0)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = unix.Renameat(s.Drafts, name, s.root, UsageName)
	}
	if err != nil {
		unix.Unlinkat(s.Drafts, name, 0) // if this fails, the next Open removes it, and counts
		return fmt.Errorf("keep the usage of the upper directory: %w", err)
	}
	return nil
}
