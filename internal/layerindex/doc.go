// Package layerindex is the encoding of a layer's index: all that a union needs to know of a layer's entries but the
// data of its files, in one file beside the tree. With it, mounting reads no directory and no xattr of the layer, and
// looking up a name needs no system call.
//
// Decisions, and their reasons:
//
//   - The tree stays the truth, and the index is what is known of it: whoever cannot use an index reads the tree and
//     sees the same, inode numbers included. The index holds the inode number and the time of change of the tree's
//     root, which differ in a copy of the store and once somebody adds to the root or removes from it. Layers are never
//     changed by us; that a file was changed by somebody else is noticed when it is opened. Of a tree without xattrs,
//     the index alone knows owners and xattrs, and it counts whatever the root's numbers are.
//   - A directory is one block: its entries sorted by name, found by binary search in the file itself, which is mapped
//     into memory. Nothing is parsed before it is asked for, and all containers of an image share the memory.
//   - A block lies behind those of its subdirectories, so that the index is written in one pass over a tree while no
//     more of it is in memory than the directories from the root to the current one, and so that no chain of blocks can
//     lead back to itself. The root, and what tells a whole file from a torn one, is at the end.
//   - Every block has a checksum of its own, verified when the directory is opened: to verify all of them would take as
//     long as reading the whole index. Whatever the bytes are, reading them ends in an error at worst.
//
// The file is, all numbers little-endian: [magic], blocks, and a trailer of [trailerSize] bytes: position of the block
// of the root uint64, size of all before the trailer uint64, version uint32, CRC-32C of these three uint32. A block is:
// number of entries uint32, size of the records uint32, position of each record in them uint32, records, CRC-32C of all
// of that uint32. A record is described in record.go. The root's block holds one entry, without a name.
package layerindex
