// Package tree turns image tars into layer trees and layer trees into image tars. A layer tree is a directory in the
// encoding of package layerfmt: plain files that belong to the caller, with the owners, modes, devices and privileged
// xattrs of the image kept as metadata.
//
// Decisions and their reasons:
//
//   - A tar is read in one pass, and nothing is buffered but one header: a layer may be larger than memory, and the
//     stream may be a download.
//   - The author of a tar is an attacker. Every name is split into components first. ".." is refused, not cleaned away.
//     Each component is opened from its parent's descriptor with O_NOFOLLOW, so that the kernel never follows a link
//     made by an earlier entry. The walk is used instead of openat2(2) because missing parents must be made step by
//     step anyway, because sandboxes filter openat2, and because a link of another owner is a file on disk.
//   - An entry, a whiteout or the target of a hard link below a symbolic link of the same tar is looked up within the
//     tree, as docker, containerd and podman do it: the link is read, and its target walked from the root. A missing
//     target is made, as containerd does it. So this package reads the same from such a tar as other engines. A file
//     that gets a second name by way of a link is refused like a name that comes twice. A link of a layer below is not
//     followed: the directory hides it, as with the kernel's overlay.
//   - A tree may be read while its container changes it, with the option not to pause and with the library's drivers.
//     So it is read in the same way: each file by its name in an open directory, with package beneath, and never
//     through a link. A file that is gone when its turn comes is left out. A file that has become something else is
//     packed as that. A file that becomes shorter is filled up with zeros, because its size is written first.
//   - The container decides how deep its tree is. So a walk has few descriptors open, and no system call gets a path of
//     several components. A whole name is put together only for the visitor, and is bounded.
//   - Trees of the library's drivers are read by this package, too, as host-owned trees: the library would follow
//     paths, and hold a lock on all layers meanwhile.
//   - An entry replaces what an earlier entry of the same name left, except that a directory is merged into a
//     directory, as tar(1) does it. Files are never truncated in place, so other names of a replaced file keep theirs.
//   - The library's tar-split refuses a name that comes twice, because it finds contents by name. Unpacking alone would
//     do what tar(1) does. The error names the entry.
//   - Blocks of zeros are not written but become holes, and holes are not read from the disk. The tar has the zeros, so
//     that digests are the same. A block is 4,096 bytes, which is what most filesystems allocate. The zeros of a hole
//     of 100 GiB must still be hashed, which takes minutes; UnpackOptions.Limits bound them.
//   - Bounds of names are those of files. The name of a whiteout may be longer by its prefix, because on disk it is a
//     device with the name that it hides or, where no device can be made, a file with an xattr.
//   - Tars with sparse entries are refused. The image specification advises against them, and tar-split cannot
//     reproduce them: an image with one could be loaded but never saved with the same digest.
//   - The times of directories are set at the end, because making an entry changes the time of its directory.
package tree
