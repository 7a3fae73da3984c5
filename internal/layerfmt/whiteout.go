package layerfmt

import "strings"

// The marks of deletion. Readers know all forms. A writer makes a character device 0:0 if mknod(2) allows it, as it
// does for unprivileged users since Linux 5.8, and otherwise a file named WhiteoutPrefix+NAME.
const (
	// WhiteoutPrefix starts the name of an empty file that hides NAME of the layers below, as in image tars.
	WhiteoutPrefix = ".wh."
	// OpaqueMarker is the name of an empty file that makes its directory hide everything of the layers below.
	OpaqueMarker = ".wh..wh..opq"
	// WhiteoutXattr marks an empty regular file as a whiteout. The kernel looks at it only in directories with an
	// OpaqueXattr of value "x".
	WhiteoutXattr = "user.overlay.whiteout"
	// PrivilegedWhiteoutXattr is the same mark of a mount by root.
	PrivilegedWhiteoutXattr = "trusted.overlay.whiteout"
	// OpaqueXattr is the opaque mark that we write (value "y"), as the kernel's overlay does for users.
	OpaqueXattr = "user.overlay.opaque"
	// PrivilegedOpaqueXattr is the mark of the kernel's overlay for root.
	PrivilegedOpaqueXattr = "trusted.overlay.opaque"
	// FuseOpaqueXattr is the mark of fuse-overlayfs.
	FuseOpaqueXattr = "user.fuseoverlayfs.opaque"
)

// WhiteoutXattrs are all the xattrs that make an empty regular file a whiteout. Every reader of trees knows all of
// them: the privileged one is seen only by a process with the privileges to set it, which meets it in trees that the
// kernel's overlay has written for root. A reader without it would show a deleted file as an empty one.
var WhiteoutXattrs = []string{WhiteoutXattr, PrivilegedWhiteoutXattr}

// OpaqueXattrs are all the xattrs whose value "y" makes a directory opaque.
var OpaqueXattrs = []string{OpaqueXattr, FuseOpaqueXattr, PrivilegedOpaqueXattr}

// ReservedName tells whether layer trees reserve a name, so that no file can have it: whiteouts may be files.
func ReservedName(name string) bool { return strings.HasPrefix(name, WhiteoutPrefix) }
