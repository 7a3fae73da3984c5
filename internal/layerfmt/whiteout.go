package layerfmt

import "strings"

// The marks of deletion. All forms are read; a writer makes a character device 0:0 where mknod(2) allows it (it does
// for an unprivileged user since Linux 5.8) and a file named WhiteoutPrefix+NAME elsewhere.
const (
	// WhiteoutPrefix starts the name of an empty file that hides NAME of the layers below, as in image tars.
	WhiteoutPrefix = ".wh."
	// OpaqueMarker is the name of an empty file that makes its directory hide everything of the layers below.
	OpaqueMarker = ".wh..wh..opq"
	// WhiteoutXattr marks an empty regular file as a whiteout; the kernel looks at it only in directories that
	// carry an OpaqueXattr of value "x".
	WhiteoutXattr = "user.overlay.whiteout"
	// PrivilegedWhiteoutXattr is the same in the hands of root.
	PrivilegedWhiteoutXattr = "trusted.overlay.whiteout"
	// OpaqueXattr is the opaque mark that is written (value "y"), the one rootless kernel overlay uses.
	OpaqueXattr = "user.overlay.opaque"
	// PrivilegedOpaqueXattr is the mark of the kernel's overlay in the hands of root.
	PrivilegedOpaqueXattr = "trusted.overlay.opaque"
	// FuseOpaqueXattr is the mark of fuse-overlayfs.
	FuseOpaqueXattr = "user.fuseoverlayfs.opaque"
)

// WhiteoutXattrs are all the xattrs that make an empty regular file a whiteout. Every reader of trees knows all of
// them: the privileged one is seen only by a process with the privileges to set it, which meets it in trees that the
// kernel's overlay has written for root. A reader that left it out would show a deleted file as an empty one.
var WhiteoutXattrs = []string{WhiteoutXattr, PrivilegedWhiteoutXattr}

// OpaqueXattrs are all the xattrs whose value "y" makes a directory opaque.
var OpaqueXattrs = []string{OpaqueXattr, FuseOpaqueXattr, PrivilegedOpaqueXattr}

// ReservedName tells whether a name is one of layer trees' own and can thus not be given to a file where
// whiteouts are files.
func ReservedName(name string) bool { return strings.HasPrefix(name, WhiteoutPrefix) }
