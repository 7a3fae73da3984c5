// Package xattrlog keeps the xattrs of a tree's files in one file beside the tree, where the filesystem keeps none.
//
// Decisions, and their reasons:
//
//   - Files are named by inode number, so that renames and hard links need no record, and nothing is to be done when a
//     directory moves. An inode number is used again after its file is gone: whoever makes a file calls [Log.Forget]
//     for it, before it has a name, and whoever removes the last name does when the file is closed.
//   - The file is a log to which every change is appended in one write, before the caller goes on: a process that is
//     killed leaves what xattrs would be as. A record that was torn by a crash of the machine ends the log; it and what
//     follows are cut off when the log is next opened for writing.
//   - All of it is in memory, since entries that are root's and have an ordinary mode need no record. When most of the
//     file is outdated, it is written anew and renamed into place.
//   - The inode number of the tree's root is in the head. A copy of a tree has others, and nothing that the log says
//     would be right: it is refused.
//   - The last record of a log that was closed says so. Where it is missing, files may have been removed of which the
//     log has not heard: [Log.Unclean] tells.
//
// The file is, all numbers little-endian: [magic], version uint32, inode number of the root uint64, CRC-32C of both
// uint32; then records: size of the content uint32, CRC-32C of the content uint32, content. Content is one byte that
// says what it is, and as a varint the inode number; of an xattr follow its name and value, each after its length.
package xattrlog
