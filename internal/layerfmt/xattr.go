package layerfmt

import "strings"

// EscapePrefix is the prefix of the on-disk name of an xattr of a container that cannot be stored under its own name.
const EscapePrefix = "user.rcrun.x."

// reservedXattrs are the prefixes of xattrs that have a meaning for readers of layer trees. A container that could
// set one of them under its own name could give its files any owner, or make whiteouts.
var reservedXattrs = []string{"user.rcrun.", "user.containers.", "user.overlay.", "user.fuseoverlayfs."}

// EscapeXattr returns the on-disk name of a container's xattr. Ordinary user.* names stay; names of other namespaces
// and reserved names are escaped.
func EscapeXattr(name string) string {
	if strings.HasPrefix(name, "user.") && !reserved(name) {
		return name
	}
	return EscapePrefix + name
}

// UnescapeXattr returns the name under which a container sees an xattr on disk. ok is false for metadata of the layer
// tree, which no container sees.
func UnescapeXattr(disk string) (name string, ok bool) {
	if rest, found := strings.CutPrefix(disk, EscapePrefix); found {
		return rest, rest != "" && EscapeXattr(rest) == disk
	}
	if !strings.HasPrefix(disk, "user.") || reserved(disk) {
		return "", false
	}
	return disk, true
}

func reserved(name string) bool {
	for _, prefix := range reservedXattrs {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// WithoutXattrs tells whether the environment asks new stores and containers to do without xattrs, as on a filesystem
// that keeps none.
func WithoutXattrs(env func(string) string) bool { return env("RCRUN_XATTRS") == "off" }
