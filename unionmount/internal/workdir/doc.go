// Package workdir is the work directory of a writable layer: what is kept beside the upper.
//
// It has three parts. Drafts are files that are being made, or that were removed and are being taken apart; after a
// crash they are rubbish, and Open removes them. The index has copies of lower files with several names, by the
// number of the layer and the inode number there (see layerfmt.LinkName), and notes whose names say everything: which
// names of a lower file are hidden, and which origin a copy has that can carry no xattr. The usage file has what a
// quota begins with.
//
// The directory is locked while a union is open, because a second union would take the drafts of the first for what a
// crash has left.
package workdir
