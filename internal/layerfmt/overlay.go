package layerfmt

// By these xattrs the kernel's overlay refers to the layers below. Their names have one of two prefixes, which
// depends on the mount.
const (
	// PrivilegedOverlayPrefix is the prefix for a mount by root.
	PrivilegedOverlayPrefix = "trusted.overlay."
	// OverlayPrefix is the prefix for a mount with the option userxattr.
	OverlayPrefix = "user.overlay."

	// OverlayRedirect is set on a directory that was renamed. It is the path in the layers below of the directories
	// that are merged into it: from their roots if it starts with a slash, else in the directories that are merged
	// into its parent. On a file with OverlayMetacopy it is the path of the data.
	OverlayRedirect = "redirect"
	// OverlayMetacopy is set on a file that has its data in a layer below: by the same name, unless it has an
	// OverlayRedirect. The value is empty, or a header that we ignore.
	OverlayMetacopy = "metacopy"
)
