// Package tree turns image tars into layer trees and layer trees into image tars. A layer tree is a directory in the
// encoding of package layerfmt: plain files of the caller's, with the owners, modes, devices and privileged xattrs of
// the image kept as metadata.
//
// Decisions, and their reasons:
//
//   - One pass over the tar, nothing buffered but one header: a layer may be larger than memory, and the stream may
//     be a download.
//   - The author of a tar is an attacker. Every name is split into components first; ".." is refused, not cleaned away.
//     Each component is opened from its parent's descriptor with O_NOFOLLOW: the kernel never follows a link made by an
//     earlier entry. Walking is used instead of openat2(2) because missing parents have to be made step by step anyway,
//     because sandboxes filter openat2, and because a link of another owner is a file on disk.
//   - An entry, a whiteout or the target of a hard link below a symbolic link of the same tar is looked up within the
//     tree, as docker, containerd and podman do it: the link is read, and its target walked from the root. Where the
//     target is missing, it is made, as containerd does it. What another engine reads from such a tar is thus the
//     same. A file that has a second name by way of a link is refused like a name that comes twice. A link of a layer
//     below is not followed: the directory hides it, as with kernel overlay.
//   - A tree is read while its container may be changing it, with the option not to pause and with the library's
//     drivers. So it is read in the same way: each file by its name in an open directory, with package beneath, and
//     never through a link. What is gone when its turn comes is left out; what has become something else is packed as
//     that. A file that becomes shorter is filled up with zeros, since its size is written first.
//   - How deep a container's tree is, the container decides. So a walk has few descriptors open, and no system call
//     gets a path of several components. A name is put together for the visitor alone, and bounded.
//   - Trees of the library's drivers are read by this package, too, as host-owned: the library follows paths, and
//     holds a lock on all layers meanwhile.
//   - An entry replaces what an earlier entry of the same name left, except that a directory is merged into a
//     directory: what tar(1) does. Files are never truncated in place, so other names of a replaced file keep theirs.
//   - A name that comes twice is refused by the library's tar-split, which finds contents by name; unpacking alone
//     would do as tar(1) does. The error names the entry.
//   - Blocks of zeros are not written but become holes, and holes are not read from the disk: the tar has the zeros,
//     so that digests are the same, and the disk has not. A block is 4,096 bytes, which is what most filesystems
//     allocate. The zeros of a hole of 100 GiB still have to be hashed, which takes minutes; UnpackOptions.Limits
//     bound them.
//   - Bounds of names are those of files. The name of a whiteout may be longer by its prefix, since on disk it is a
//     device of the name that it hides or, where no device can be made, a file with an xattr.
//   - Tars with sparse entries are refused. The image specification advises against them, and tar-split cannot
//     reproduce them, so that an image holding one could be loaded but never saved with the same digest.
//   - Sets of directory times are applied at the end, since making an entry changes the time of its directory.
package tree
