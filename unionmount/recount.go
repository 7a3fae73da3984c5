package unionmount

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
)

// usageName is the file in the work directory that keeps what the upper takes, from one use to the next.
const usageName = "usage"

// usageRecord is what is in it. After a reboot it does not count: it is not flushed to the disk, nor is its removal.
type usageRecord struct {
	Boot   string `json:"boot"`
	Bytes  int64  `json:"bytes"`
	Inodes int64  `json:"inodes"`
	Grown  int64  `json:"grown"` // the bytes that came since the files were last counted
}

// bootID names the time since the machine was started, "" where it has no name.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// openQuota finds out what the upper takes, if that is limited. A record is good for one time, whether or not it is used.
func (u *Union) openQuota() error {
	if u.upper == nil {
		return nil
	}
	record, recorded := u.stage.takeUsage()
	if u.opts.Quota == (Quota{}) {
		return nil
	}
	var fs unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstatfs(u.upper.root, &fs) }); err != nil {
		return fault("stat filesystem", u.upper, "/", err)
	}
	u.quota = newQuota(u.opts.Quota, &fs)
	if beside, ok := u.upper.xattrs.(sideXattrs); ok {
		beside.Watch(u.quota.recordIs)
	}
	if recorded && u.upper.Ownership == CallerOwned && u.quota.trusts(record) { // others may write the other kind meanwhile
		u.quota.used, u.quota.grown = usage{record.Bytes, record.Inodes}, record.Grown
		return nil
	}
	used, err := u.recount()
	if err != nil {
		return fault("count what is in", u.upper, "/", err)
	}
	u.quota.used = used
	return nil
}

// takeUsage reads the record and removes it; ok is false where there is none that counts.
func (s *stage) takeUsage() (record usageRecord, ok bool) {
	fd, err := openat(s.root, usageName, unix.O_RDONLY, 0)
	if err != nil {
		return record, false
	}
	defer unix.Close(fd)
	var buf [256]byte
	n, err := retry(func() (int, error) { return unix.Pread(fd, buf[:], 0) })
	removed := unix.Unlinkat(s.root, usageName, 0)
	if err != nil || removed != nil || json.Unmarshal(buf[:n], &record) != nil {
		return record, false
	}
	return record, record.Boot != "" && record.Boot == bootID()
}

// keepUsage writes the record, in one step.
func (s *stage) keepUsage(record usageRecord) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	name := s.name()
	fd, err := openat(s.dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the usage of the upper directory: %w", err)
	}
	err = filecopy.WriteAll(fd, text, 0)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = unix.Renameat(s.dir, name, s.root, usageName)
	}
	if err != nil {
		unix.Unlinkat(s.dir, name, 0) // else it goes with the next Open, which counts
		return fmt.Errorf("keep the usage of the upper directory: %w", err)
	}
	return nil
}

// counter adds up files, each once.
type counter struct {
	q    *quota
	sum  usage
	seen map[uint64]bool // inode numbers of files with several names
	// index says that this is the index of hard links, whose notes do not count: those of names that are gone are made when
	// something is removed, and of those of inode numbers there are no more than special files and links of the lowers.
	index bool
}

func (c *counter) add(dir int, name string, st *unix.Stat_t) {
	if c.index && (strings.HasSuffix(name, hiddenSuffix) || strings.HasPrefix(name, numberPrefix)) {
		return
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		if c.seen[st.Ino] {
			return
		}
		c.seen[st.Ino] = true
	}
	if !c.q.growsAhead(st) {
		c.sum = c.sum.plus(usageOf(st))
		return
	}
	fd, err := openat(dir, name, unix.O_PATH, 0)
	if err != nil {
		c.sum = c.sum.plus(usageOf(st))
		return
	}
	defer unix.Close(fd)
	c.sum = c.sum.plus(c.q.takes(fd, st))
}

// recount adds up what is in the upper and in the index.
func (u *Union) recount() (usage, error) {
	root, err := statFD(u.upper.root)
	if err != nil {
		return usage{}, err
	}
	c := &counter{q: u.quota, sum: usageOf(&root), seen: map[uint64]bool{}}
	w := treeWalk{visit: c.add}
	if err := w.tree(u.upper.root); err != nil {
		return usage{}, err
	}
	c.index = true
	_, err = w.dir(u.stage.index)
	return c.sum, err
}
