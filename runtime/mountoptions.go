package runtime

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mountOptions holds what the options of one mount of the specification ask for.
type mountOptions struct {
	set, clear  uint64   // MOUNT_ATTR_* of the mount
	bind        bool     // attach what is at the source instead of a new filesystem
	recursive   bool     // with all that is mounted below it
	propagation uint64   // MS_PRIVATE, ...; 0: the options name none
	data        []string // options of the filesystem
}

// attributes are the options that change a mount rather than its filesystem. Recursive forms (rro) act alike, because a
// read-only bind is read-only with all that is mounted below it.
var attributes = map[string]struct{ set, clear uint64 }{
	"ro":            {set: unix.MOUNT_ATTR_RDONLY},
	"rw":            {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid":        {set: unix.MOUNT_ATTR_NOSUID},
	"suid":          {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":         {set: unix.MOUNT_ATTR_NODEV},
	"dev":           {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":        {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":          {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME},
	"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"symfollow":     {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"norelatime":    {},
	"nostrictatime": {},
	"atime":         {},
	"async":         {},
	"defaults":      {},
}

var propagations = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

func parseMountOptions(m specs.Mount) mountOptions {
	o := mountOptions{bind: m.Type == "bind" || m.Type == CopyMount}
	for _, option := range m.Options {
		switch {
		case option == "bind":
			o.bind = true
		case option == "rbind":
			o.bind, o.recursive = true, true
		case propagations[option] != 0:
			o.propagation = propagations[option]
		default:
			o.attribute(option)
		}
	}
	return o
}

// attribute notes an option of the mount, where a later one overrides an earlier one, or of the filesystem.
func (o *mountOptions) attribute(option string) {
	a, known := attributes[option]
	if !known {
		a, known = attributes[strings.TrimPrefix(option, "r")]
	}
	if !known {
		o.data = append(o.data, option)
		return
	}
	o.set = o.set&^a.clear | a.set
	o.clear = o.clear&^a.set | a.clear // clears all access time bits before one is set
}

// isBind tells whether a mount of the specification takes its content from a path of the host.
func isBind(m specs.Mount) bool { return parseMountOptions(m).bind }
