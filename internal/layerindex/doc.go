// Package layerindex is the encoding of the index of a layer: one file beside the tree with everything that a union
// needs to know of the layer's entries, except the data of files. With it, mounting reads no directory and no xattr
// of the layer, and looking up a name needs no system call.
//
// Decisions and their reasons:
//
//   - The tree stays the truth, and the index is a copy of what it says: a program without the index reads the tree
//     and sees the same, inode numbers included. The index holds the inode number and the mtime of the tree's root.
//     They differ in a copy of the store, and after a name was added to the root or removed from it. We never change
//     layers; if another program has changed a file, that is noticed when the file is opened. Of a tree without
//     xattrs the index alone knows owners and xattrs, so it counts whatever the numbers of the root are.
//   - A directory is one block: its entries sorted by name, found by binary search in the file itself, which is mapped
//     into memory. Nothing is parsed before it is asked for, and all containers of an image share the memory.
//   - The block of a directory comes after the blocks of its subdirectories. So the index is written in one pass over
//     a tree, with no more in memory than the directories from the root to the current one, and no chain of blocks
//     can lead back to itself. The root is at the end, with the trailer by which a whole file differs from a torn
//     one.
//   - Every block has a checksum, which is verified when the directory is opened. To verify all of them at first
//     would take as long as reading the whole index. Whatever the bytes are, reading them ends in an error at worst.
//
// The file is, all numbers little-endian: [magic], blocks, and a trailer of [trailerSize] bytes: position of the
// block of the root uint64, size of all before the trailer uint64, version uint32, CRC-32C of these three uint32. A
// block is: number of entries uint32, size of the records uint32, position of each record in them uint32, records,
// CRC-32C of all of that uint32. A record is described in record.go. The block of the root holds one entry, without a
// name.
package layerindex
