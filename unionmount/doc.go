// Package unionmount shows several directory trees as one, the topmost of them writable, with the semantics of a
// POSIX filesystem. It knows nothing of FUSE: package fusefs puts it behind a mount, and the engine uses it in its
// own process to write a container's init layer.
//
// # Layers
//
// A Union has lower layers, nearest first, and may have an upper. Lowers never change while it is open, and nobody
// but the Union changes the upper. Whatever the trees hold, they are read through one probe (layer.go) that knows
// whiteouts, opaque marks, override metadata and mount points. Every other step asks it, never the disk: a listing
// is the set of names of all layers, and which of them exist is decided by the same lookup that resolves names.
// What a listing knows of the lowers, which layer has a name first, spares later lookups those above it; and a name that
// is not in it, nor marked in the upper, is known not to be there, in a directory made through the Union from the start.
//
// A lower of the store's has an index (indexed.go), which answers instead of the disk all that is asked of its entries but
// the data of files. For directories of many layers a table is made of the indexes (merged.go) of which layer has which
// name, so that looking up a name costs the same through 256 layers as through one. A layer without an index, or with one
// that is not of its tree, is read on disk and shows the same.
//
// Names that start with ".wh." are whiteouts in every tree that is read, so no container can see or make a file of
// such a name: looking it up is ENOENT, making it is EPERM.
//
// A device 0:0, which is a whiteout on disk, is an ordinary device inside where owners are kept as metadata: an engine that
// runs in a container makes whiteouts of its own, and could not by any other name. Elsewhere it is refused, as by overlay.
//
// # Ownership
//
// How the files of a tree stand for its entries is a policy of the layer's (policy.go), and the only difference between
// a store of plain files that belong to one user and a tree with real owners that other overlay filesystems share. An
// upper of the latter kind holds nothing that only we could read: ACLs and devices are real; copies have their data and
// renamed directories are whole, unless it is asked for (Layer.Redirect, Metacopy) that they refer to the lowers as the
// kernel's overlay has it. That is not the rule, because fuse-overlayfs does not follow such references and would show
// holes. What we alone know there (st_ino before copy-up, hard links of the lower) the others may lose without harm.
//
// # Xattrs
//
// What the Union notes of a file of a CallerOwned upper, and what a container sets, is in xattrs. Where the filesystem keeps
// none it is in a record in the work directory, package xattrlog's; all that reads or writes xattrs goes through one
// interface (side.go), so that nothing else knows the difference. Which of the two an upper has is decided when it is
// new, and it keeps that: one with files but without the record is refused on such a filesystem, because to take its files
// for root's would be worse. What the record says of a file is there before the file has its name, and goes before the last
// descriptor of a removed file is closed, since the next file may get the inode number. fsync(2) of a file syncs the record
// first. A lower of the store's is then plain files (Layer.Plain) of which its index alone tells, by name.
//
// On such filesystems rename(2) often has no flags. Only to let a directory and a whiteout device change places needs one;
// there, a whiteout file takes the place of the device first (hideBeside). That a container has two files change places is
// refused as the filesystem does it, EINVAL: it cannot be done in one step, and whoever asks for it does without.
//
// # Directories
//
// A directory is read by cookies that stand for positions in an order of its names, which is kept as long as the node lives
// (listing.go); nothing is opened for it. Names that come in later precede all others, so whoever makes or renames entries
// while reading meets none of them and comes to the end. They could also follow all others up to a mark that opening or
// rewinding sets, as kernel filesystems have it, but that would take a request for each opening.
//
// Directories nest no deeper than 4,096 levels (depth.go).
//
// # Nodes
//
// A Node is an inode. It is found by its backing file (layer, inode number), so that all names of a hard-linked file
// lead to one Node, and it knows the names it was reached by, which is how its backing file is opened again when its
// descriptor was given up. Because a rename may happen in between, what was opened is compared with the inode number
// that the Node remembers, and when it differs it is tried again with renames held off: in the ordinary case no lock
// spans a walk from the root.
//
// A file without a name is kept open by a descriptor (pin). Programs have a limit of open files each, and the server only
// one for all of theirs; so when half of its descriptors are for such files, more are parked (keeper.go) in threads that
// have tables of descriptors of their own, each with the same limit. Keeping the files under names in the work directory
// would need no thread, but a name more shows in st_nlink and ctime, and counts for the quota.
//
// A Node lives as long as it was looked up more often than forgotten, or a Node that was reached through it lives.
// st_ino is the inode number of the first backing file an inode had. The copy in the upper carries it in an xattr, or
// it is noted in the index of copies that can have none, so it survives copy-up, forgetting and remounting. Its high bits tell apart the devices the layers lie on; a host
// directory within which another layer lies counts as a device of its own, because that would be seen twice.
//
// # Changes
//
// An entry appears in the upper complete: what takes more than one system call to make is made in the work directory
// and renamed into place. What is found in the work directory when a Union is opened is left over from a crash and
// is removed; so that it is not another Union's, the work directory is locked (worklock.go) while a Union is open. Data is not synced by a copy-up, as it is not by cp and by fuse-overlayfs, but is by the kernel's overlay: a
// disk may take longer for that than for all the rest, and whoever needs it on disk calls fsync.
//
// A regular file is copied up without its data when only its attributes or names change: the copy refers to the lower
// file (reference.go) and borrows its data until that is to be changed. Then the copy is filled in place, so
// that names and descriptors stay, and the reference, which counts as long as it is there, is removed last.
//
// A lower file with several names is copied up once: the copy is also linked into the index, a directory beside the
// work files named after (layer, inode), where lookups of the other names find it. The copy counts in an xattr the
// names that are still only in the lower, so that st_nlink is right and the index entry goes with the last name;
// names that are deleted before there is a copy are counted in the index, too, and when the last was is the ctime. What
// carries no xattrs on disk, special files and symbolic links of HostOwned trees, is not in the index: its copy gets
// the names that are known, and those that are still only in the lower belong to it as long as its node lives.
//
// The root directory of a new upper takes over the attributes of the one it covers.
//
// A directory that is merged with lower ones is renamed by noting in the upper one where they are: nothing is copied, and
// what is below goes along, because all that is found in it is found through it. The note is made before the rename and
// taken back after one to where it says nothing; in between it changes nothing. Where it cannot be made, everything that
// is to be seen in the directory is copied up first, and then it is opaque: a program that renames it need not know
// what to do about EXDEV, and it is less work than copying by hand.
//
// CallerOwned uppers name the lower directories or file exactly, by layer and path. The kernel's notes are a path, which
// is looked up in the layers below (trail in reference.go); they may be in any layer, so directories that are merged may
// have different paths, and before one is written it is made sure that it leads where it should.
//
// st_nlink of a merged directory is two and the number of its subdirectories, as everywhere else, because programs tell by
// it whether there are any, and that it was 1 now and not later would be worse than either. They are counted when a node is
// first looked up, by the types that directories and indexes note with the names, and then kept. Layers that have no
// subdirectories, and those below the last that has, are not read for it.
//
// # Quota
//
// A Quota limits the blocks and inodes that the upper has on disk, and the copies in the index besides: what du would say,
// not lengths of files. So holes, links and references to a lower cost what they cost, directories count as they grow, and
// whatever an operation does, it is charged by looking at the file afterwards (settle), not by knowing all that filesystems
// do with blocks. The record of xattrs, where they are in one, counts as well. Whiteouts and notes in the index do not, and no
// removal is refused: who has no room must be able to make some. The directories that it copies up for that may pass the
// limit; there are no more of them than the lowers have.
//
// Data is promised room before it is written, so that writers at once do not pass the limit together: at first all that it
// may take, which costs no look at the file. Only where that is too much is it found out which blocks are missing, from the
// filesystem's map of the file, because SEEK_HOLE shows those as holes that were allocated and never written, and who has
// allocated them may rely on them. A write that fits in part is done in part. A new name or link, whose directory may or may
// not grow, is let through as long as the limit is not passed, and may pass it by a few blocks, once: to promise the worst
// case would refuse to a full container what a full disk does not. The error is ENOSPC, which programs expect, not EDQUOT.
//
// A removed file counts as long as the kernel knows it, since it may be open. The kernel says with a delay that it has
// forgotten one; so what finds no room while a file that was removed within the last second is still known waits a moment
// for that, lest rm and the next write race. That of one that is open is waited for in vain, and not long.
//
// The sums are kept in the work directory from a clean Close to the next Open. After a crash, after a reboot (neither they nor
// their removal are flushed) and in trees that others write, too, the upper is counted, which costs a system call for each
// of its files.
//
// A filesystem may change the blocks of a file when nobody changes the file: ext4 adds one for the list of a file's extents,
// or takes it back, when it writes data out, and may pass the limit by that much. A node that the kernel still knows is
// charged what is true when it changes again; the difference of others is noticed when the upper is counted. For that it is
// also counted once files have grown by a quarter of the limit since the last time. To wait for the writing before every
// look would make each change as slow as the disk.
//
// XFS allocates more blocks than it was asked for and takes them back when it likes. Those are not charged (ahead.go), lest a
// container meet its limit long before it; what a container allocates behind the end of a file would look the same, and is
// refused there.
//
// # Safety
//
// A path is resolved at one place (resolve.go), from an open directory, by one name or beneath the layer's root,
// never through a symbolic link and never into another mount: the tree below a host directory may contain the mount
// that is being served, and a server that touches its own mount waits for itself. A mount point in a layer appears
// as an empty directory (or file) of root.
//
// # Locks
//
// In this order; none is held while one to its left is taken:
//
//	Node.entries (of directories; several only through lockDirs, which sorts by id)
//	  Node.meta (of one node at a time)
//	    Node.listing.mu
//	      account.holes (around a change of data for which there is no room but what is allocated)
//	      Union.moving (for writing around the system calls of one rename)
//	        Union.mu (tables and names, around no I/O but the note that a file is gone), fdCache.mu
//	          account.mu, quota.mu
//
// entries guards which names a directory has; whoever adds or removes one holds it for writing. meta guards what a
// node's own backing file is and what its metadata say. Copy-up of a node takes entries of its parent, then meta of
// the node, and goes from the root downwards with nothing held.
package unionmount
