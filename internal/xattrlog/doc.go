// Package xattrlog keeps the xattrs of a tree's files in one file beside the tree, where the filesystem keeps none.
//
// Decisions and their reasons:
//
//   - Files are named by inode number, so renames and hard links need no record, and nothing changes when a directory
//     moves. After a file is gone, its inode number is used again. So [Log.Forget] must be called for a new file
//     before it has a name, and for a file without a name when it is closed.
//   - The file is a log. Every change is appended in one write, before the caller goes on, so a process that is
//     killed leaves the same as with xattrs on disk. A record that was torn by a crash of the machine ends the log:
//     it and the rest are cut off when the log is next opened for writing.
//   - The whole log is in memory. It is small, because entries of root with an ordinary mode need no record. When
//     most of the file is outdated, it is written again, and renamed into place.
//   - The inode number of the tree's root is in the head. In a copy of a tree all inode numbers differ, so nothing
//     that the log says would be right, and the log is refused.
//   - The last record of a log that was closed says so. If it is missing, files may have been removed without a
//     record: [Log.Unclean] tells.
//
// The file is, all numbers little-endian: [magic], version uint32, inode number of the root uint64, CRC-32C of both
// uint32; then records: size of the content uint32, CRC-32C of the content uint32, content. Content is one byte that
// says what it is, and as a varint the inode number; of an xattr follow its name and value, each after its length.
package xattrlog
