package posix

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// dump describes all files below a directory, by their paths; those that have several names by the first, if
// numbered says that inode numbers are right.
func dump(root string, numbered bool) map[string]string {
	tree := map[string]string{}
	first := map[uint64]string{}
	walk(root, func(path string, st *unix.Stat_t, full string) {
		text := attributes(st)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 && numbered {
			if first[st.Ino] == "" {
				first[st.Ino] = path
			}
			text += " as " + first[st.Ino]
		}
		tree[path] = text + xattrs(full) + inside(full, st)
	})
	return tree
}

// inodes returns the inode numbers of all regular files and directories below a directory, by their paths.
func inodes(root string) map[string]uint64 {
	found := map[string]uint64{}
	walk(root, func(path string, st *unix.Stat_t, _ string) {
		if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFREG || kind == unix.S_IFDIR {
			found[path] = st.Ino
		}
	})
	return found
}

// subdirs returns the link counts of all directories below a directory, by their paths.
func subdirs(root string) map[string]uint64 {
	found := map[string]uint64{}
	walk(root, func(path string, st *unix.Stat_t, _ string) {
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			found[path] = uint64(st.Nlink)
		}
	})
	return found
}

func walk(root string, visit func(path string, st *unix.Stat_t, full string)) {
	filepath.WalkDir(root, func(full string, _ fs.DirEntry, err error) error {
		path := strings.TrimPrefix(full, root)
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(full, &st)
		}
		if err != nil {
			st = unix.Stat_t{}
		}
		visit(path, &st, full)
		return nil
	})
}

func inside(full string, st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		text, err := read(nil, []string{full})
		return " " + describe(text, err)
	case unix.S_IFLNK:
		text, err := readlink(nil, []string{full})
		return " -> " + describe(text, err)
	}
	return ""
}

func xattrs(full string) string {
	list, err := listxattr(nil, []string{full})
	if err != nil {
		return " xattrs: " + err.Error()
	}
	var text strings.Builder
	for _, name := range strings.Fields(list) {
		value, err := getxattr(nil, []string{full, name, ""})
		fmt.Fprintf(&text, " %s=%q", name, describe(value, err))
	}
	return text.String()
}

var aclXattrs = map[string]string{"access": "system.posix_acl_access", "default": "system.posix_acl_default"}

// encodeACL makes the value of an ACL's xattr from a short text: "u::7,u:1000:5,g::5,m::7,o::0".
func encodeACL(text string) []byte {
	tags := map[string][2]uint16{"u": {0x01, 0x02}, "g": {0x04, 0x08}, "m": {0x10, 0}, "o": {0x20, 0}}
	value := binary.LittleEndian.AppendUint32(nil, 2)
	for _, entry := range strings.Split(text, ",") {
		fields := strings.Split(entry, ":")
		tag, id := tags[fields[0]][0], ^uint32(0)
		if fields[1] != "" {
			tag, id = tags[fields[0]][1], uint32(number(fields[1]))
		}
		value = binary.LittleEndian.AppendUint16(value, tag)
		value = binary.LittleEndian.AppendUint16(value, uint16(number(fields[2])))
		value = binary.LittleEndian.AppendUint32(value, id)
	}
	return value
}
