package unionmount

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// compareTrees compares everything that both show.
func (m *model) compareTrees() {
	m.t.Helper()
	for _, difference := range m.differences() {
		m.t.Error(difference)
	}
	m.compareUsage()
}

// compareUsage compares the running sum of a union with a quota with a count.
func (m *model) compareUsage() {
	m.t.Helper()
	if m.u.quota == nil {
		return
	}
	counted, err := m.u.recount()
	must(m.t, err)
	if sum := m.u.quota.State().Lasting(); sum != counted {
		m.t.Errorf("charged %+v, counted %+v", sum, counted)
	}
}

func (m *model) differences() (found []string) {
	m.t.Helper()
	got, want := map[string]string{}, map[string]string{}
	m.describeUnion("", got)
	m.describeOracle("", want)
	m.paths = slices.Sorted(maps.Keys(want))
	for _, path := range m.paths {
		if got[path] != want[path] {
			found = append(found, fmt.Sprintf("%s: union shows %q, a plain directory %q", path, got[path], want[path]))
		}
		delete(got, path)
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		found = append(found, fmt.Sprintf("%s: union shows %q, a plain directory has nothing", path, got[path]))
	}
	return found
}

// links returns the count to be compared: after a crash it may be too high.
func (m *model) links(count uint64) uint64 {
	if m.crashed {
		return 0
	}
	return count
}

// setTime describes a time that doUtimes has set, and none other: those are when something happened. A crash may
// catch a directory before it gets its time back.
func (m *model) setTime(mtime unix.Timespec) string {
	if m.crashed || mtime.Sec >= latestSet {
		return ""
	}
	return fmt.Sprintf(" %d.%d", mtime.Sec, mtime.Nsec)
}

func (m *model) describeUnion(dir string, into map[string]string) {
	for _, name := range m.ls(dir) {
		path := strings.TrimPrefix(dir+"/"+name, "/")
		a := m.stat(path)
		var xattr []byte
		m.at(path, func(n *Node) (err error) { xattr, err = m.u.GetXattr(n, "user.t"); return err })
		text := fmt.Sprintf("%o %s %d%s", a.Mode, xattr, a.UID, m.setTime(a.Mtime))
		m.checkIdentity(path, a.Mode&unix.S_IFMT, a.Ino)
		if a.Mode&unix.S_IFMT == unix.S_IFDIR {
			m.describeUnion(path, into)
		} else {
			text += fmt.Sprintf(" %d %d %s", m.links(uint64(a.Nlink)), a.Size, m.read(path))
		}
		into[path] = text
	}
}

// checkIdentity wants an inode to have the same number for ever.
func (m *model) checkIdentity(path string, kind uint32, ino uint64) {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, m.oracle+"/"+path, 0)
	if m.inos == nil || err != nil {
		return // the comparison will tell
	}
	id := identity(handle.Bytes())
	if known, ok := m.inos[id]; ok && known != ino {
		m.t.Errorf("%s has inode number %d and had %d before", path, ino, known)
	}
	m.inos[id] = ino
}

func (m *model) describeOracle(dir string, into map[string]string) {
	entries, err := os.ReadDir(m.oracle + "/" + dir)
	must(m.t, err)
	for _, e := range entries {
		path := strings.TrimPrefix(dir+"/"+e.Name(), "/")
		full := m.oracle + "/" + path
		var st unix.Stat_t
		must(m.t, unix.Lstat(full, &st))
		xattr, _ := readXattr(full, "user.t")
		owner, err := readXattr(full, "user.owner")
		if err != nil {
			owner = []byte{'0'}
		}
		text := fmt.Sprintf("%o %s %s%s", st.Mode, xattr, owner, m.setTime(st.Mtim))
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			m.describeOracle(path, into)
		case unix.S_IFLNK:
			target, _ := os.Readlink(full)
			text += fmt.Sprintf(" %d %d %s", m.links(uint64(st.Nlink)), st.Size, target)
		default:
			data, _ := os.ReadFile(full)
			text += fmt.Sprintf(" %d %d %s", m.links(uint64(st.Nlink)), st.Size, data)
		}
		into[path] = text
	}
}
