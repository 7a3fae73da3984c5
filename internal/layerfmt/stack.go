package layerfmt

// The storage drivers of a store. They decide how the trees of its layers are encoded.
const (
	// DriverFuse trees are encoded as this package says.
	DriverFuse = "fuse"
	// DriverOverlay trees are as the kernel's overlay filesystem has them. Files have their owners on disk.
	DriverOverlay = "overlay"
	// DriverVFS trees are whole copies. Files have their owners on disk.
	DriverVFS = "vfs"
)

// Stack is what to mount for a container. What the directories are depends on the driver: with DriverFuse they are in
// the encoding of this package; with DriverOverlay they are as the kernel has them, with user.overlay xattrs; with
// DriverVFS the upper is the whole root, to be used as it is.
type Stack struct {
	Driver string
	Upper  string  // takes the changes
	Work   string  // empty, on the filesystem of Upper
	Lowers []Lower // read-only, the nearest first
	Quota  Quota   // of Upper; only with DriverFuse
	Plain  bool    // the store has no xattrs: a record in Work has those of Upper (package xattrlog)
}

// Lower is a layer of an image.
type Lower struct {
	Dir   string
	Index string // the index of Dir (package layerindex); layers of older stores have none
	Plain bool   // Dir has plain files, and Index alone says what they stand for
	Side  string // the record of the xattrs of Dir (package xattrlog); "" if its files have them
}
