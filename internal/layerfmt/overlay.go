package layerfmt

// The xattrs by which the kernel's overlay refers to the layers below. Their names follow one of two prefixes,
// according to who mounted it.
const (
	// PrivilegedOverlayPrefix is that of a mount by root.
	PrivilegedOverlayPrefix = "trusted.overlay."
	// OverlayPrefix is that of a mount with the option userxattr.
	OverlayPrefix = "user.overlay."

	// OverlayRedirect is set on a directory that was renamed: what is merged into it is found in the layers below by
	// this path, from their roots if it starts with a slash, else in the directories that are merged into its parent.
	// On a file with OverlayMetacopy it is the path of the data.
	OverlayRedirect = "redirect"
	// OverlayMetacopy is set on a file that has its data in a layer below: by the same name, unless it has an
	// OverlayRedirect. The value is empty, or a header of no interest here.
	OverlayMetacopy = "metacopy"
)
