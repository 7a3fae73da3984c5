// Package encoding is how the files of a tree stand for the entries of a layer: where owner, mode, device and xattrs
// are.
//
// A Policy is one of three. CallerOwned trees are encoded as package layerfmt says, in files of one user. HostOwned
// trees have everything where an ordinary filesystem has it, with ids translated. The third is a HostOwned tree whose
// owners cannot be set; it keeps owner and mode in an xattr of every entry, as fuse-overlayfs does with
// xattr_permissions.
//
// A Store is where xattrs are: on disk with the files, or in a record beside the tree (package xattrlog) on filesystems
// that keep none. POSIX ACLs are xattrs with ids in them; the ACL type has the rules by which mode and ACL go together.
package encoding
