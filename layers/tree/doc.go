// Package tree turns image tars into layer trees and layer trees into image tars. A layer tree is a directory in the
// encoding of package layerfmt: plain files of the caller's, with the owners, modes, devices and privileged xattrs of
// the image kept as metadata.
//
// Decisions, and their because:
//
//   - One pass over the tar, nothing buffered but one header: a layer may be larger than memory, and the stream may
//     be a download.
//   - The author of a tar is an attacker. Every name is split into components first; ".." is refused, not cleaned away.
//     Each component is opened from its parent's descriptor with O_NOFOLLOW, so that a link made by an earlier entry
//     is never followed, neither on the way to an entry nor to the target of a hard link. Walking is used instead of
//     openat2(2) because missing parents have to be made step by step anyway, and because sandboxes filter openat2.
//   - An entry replaces what an earlier entry of the same name left, except that a directory is merged into a
//     directory: what tar(1) does. Files are never truncated in place, so other names of a replaced file keep theirs.
//   - A name that comes twice is refused by the library's tar-split, which finds contents by name; unpacking alone would
//     do as tar(1) does. The error names the entry.
//   - Sparse files are refused. The image specification advises against them, and tar-split cannot reproduce them, so
//     that an image holding one could be loaded but never saved with the same digest.
//   - Sets of directory times are applied at the end, since making an entry changes the time of its directory.
package tree
