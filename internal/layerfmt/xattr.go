package layerfmt

import "strings"

// EscapePrefix starts the on-disk name of every xattr of a container that cannot be stored under its own name.
const EscapePrefix = "user.rcrun.x."

// reservedXattrs are the prefixes of xattrs that readers of layer trees give a meaning to. A container that could
// set one of them under its own name could give its files any owner, or whiteouts any effect.
var reservedXattrs = []string{"user.rcrun.", "user.containers.", "user.overlay.", "user.fuseoverlayfs."}

// EscapeXattr returns the on-disk name of the container's xattr name: itself for ordinary user.* names, and an
// escaped one for names of other namespaces and for reserved ones.
func EscapeXattr(name string) string {
	if strings.HasPrefix(name, "user.") && !reserved(name) {
		return name
	}
	return EscapePrefix + name
}

// UnescapeXattr returns the name under which a container sees the on-disk xattr name; ok is false for an xattr
// that is metadata of the layer tree and that no container sees.
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

// WithoutXattrs tells whether env wants new stores and containers to do without xattrs, as on a filesystem that keeps
// none.
func WithoutXattrs(env func(string) string) bool { return env("RCRUN_XATTRS") == "off" }
