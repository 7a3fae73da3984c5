// Package unionmount shows several directory trees as one, the topmost of them writable, with the semantics of a POSIX
// filesystem. It mounts nothing: package fusefs serves a Union over FUSE, and the engine uses one in its own process to
// write the init layer of a container. Its methods have the shape of FUSE requests (a node is looked up and forgotten,
// nothing is opened), but the package imports nothing of FUSE.
//
// # Rooms
//
// This package decides what an operation means and in which order it changes the disk. The subjects that can be told
// without that are packages below internal:
//
//	layer     what one tree has at a name: whiteouts, opaque marks, references, mount points, the index of a layer
//	encoding  how files on disk stand for entries: owners, modes, devices, xattrs, ACLs
//	workdir   what is kept beside the upper: drafts, the index of hard links, origins of copies, the usage record
//	listing   the order of names in a directory, and the index of which layer has which name
//	quota     the sum of what the upper takes, and the promises made against its limit
//	fdcache   descriptors of backing files, and the threads that hold those that do not fit
//	sys       system calls on files behind descriptors
//
// The files of this package, by subject:
//
//	the union and its nodes    union, node, resolve (from a node to a descriptor), snapshot, error
//	what shows                 lookup, reference, readdir, subdirs, attr, acl, xattr, atime, data
//	copies in the upper        copyup (when), copying (how), draft, below (data in a lower), origin
//	changes of names           create, hardlink, linkform, remove, whiteout, rename, redirect, depth
//	limits and privileges      quota, privilege
//
// # Layers
//
// A Union has lower layers, nearest first, and may have an upper. Lowers never change while it is open, and nothing
// but the Union changes the upper. Every tree is read through one probe (layer.Probe), whatever it holds. Every other
// step asks the probe, never the disk: a listing is the set of names of all layers, and the lookup that resolves
// names decides which of them exist. A directory listing records the first lower layer that has each name, so later
// lookups skip the layers above it. A name that is neither in the listing nor whited out in the upper is known to be
// absent. For directories created through the Union this holds from the moment of creation.
//
// A lower of the store has an index, which answers everything that is asked of its entries except the data of files.
// For directories of many layers, a name index is made of the indexes of the layers, so that looking up a name costs
// the same through 256 layers as through one. A layer without an index, or with an index of another tree, is read on
// disk and shows the same.
//
// Names that start with ".wh." are whiteouts in every tree that is read, so no container can see or make a file of
// such a name: looking it up is ENOENT, making it is EPERM.
//
// A device 0:0 is a whiteout on disk. Where owners are kept as metadata it is an ordinary device to a container,
// because an engine that runs in a container makes whiteouts of its own, and could not make them by any other name.
// Elsewhere it is refused, as the kernel's overlay does.
//
// # Ownership
//
// How the files of a tree stand for its entries is a policy of the layer (encoding.Policy). It is the only difference
// between a store of plain files that belong to one user and a tree with real owners that other overlay filesystems
// share. A HostOwned upper holds nothing that only this package can read: ACLs and devices are real, copies have their
// data, and renamed directories are copied. Layer.Redirect and Layer.Metacopy change the latter two: then copies and
// directories refer to the lowers as the kernel's overlay does. That is not the default because fuse-overlayfs does not
// follow such references, and would show holes. What only this package knows of a HostOwned upper (st_ino before a
// copy-up, hard links of the lower) other filesystems may lose without harm.
//
// # Xattrs
//
// The notes that the Union makes about a file of a CallerOwned upper, and the xattrs that a container sets, are
// xattrs on disk. Where the filesystem keeps none, they are in a record in the work directory (package xattrlog). All
// code that reads or writes xattrs goes through encoding.Store, so nothing else knows the difference. A new upper
// decides which of the two it has, and keeps that. An upper with files but without the record is refused on a
// filesystem without xattrs, because taking all its files for root's would be worse. A lower of the store is then
// plain files (Layer.Plain), and its index alone describes them, by name.
//
// Records are keyed by inode number. A file's record is written before the file gets its name and deleted before the
// last descriptor of the unlinked file is closed, because the number may then be reused. fsync(2) of a file syncs the
// record first.
//
// On such filesystems rename(2) often has no flags. Only one operation needs a flag: to let a directory and a whiteout
// change places. There, a whiteout file takes the place of the device first (hideBeside). If a container asks for two
// files to change places, it gets the error of the filesystem, EINVAL: it cannot be done in one step, and programs that
// ask for it can do without.
//
// # Directories
//
// A directory is read by cookies that stand for positions in an order of its names (package listing). The order is kept
// as long as the node lives, so nothing is opened to read a directory.
//
// st_nlink of a merged directory is two plus the number of its subdirectories, as everywhere else, because programs
// tell by it whether there are any. It must not change from 1 to that number while a node lives, which would be worse
// than either. Subdirectories are counted when a node is first looked up, by the types that directories and indexes
// note with the names, and the number is kept. Layers that have no subdirectories, and the layers below the last one
// that has, are not read for it.
//
// Directories nest no deeper than 4,096 levels (depth.go).
//
// # Nodes
//
// A Node is an inode. It is found by its backing file (layer, inode number), so that all names of a hard-linked file
// lead to one Node. It knows the names it was reached by: by them its backing file is opened again after its
// descriptor was closed. A rename may happen in between, so the file that was opened is compared with the inode
// number that the Node remembers. If it differs, the open is tried again with renames held off: in the ordinary case
// no lock spans a walk from the root. A file without a name is kept open by a descriptor (package fdcache).
//
// A Node lives as long as it was looked up more often than forgotten, or a Node that was reached through it lives.
// st_ino is the inode number of the first backing file of an inode. The copy in the upper carries it in an xattr, or,
// if it can have none, in the index of copies, so the number survives copy-up, forgetting and remounting. Its high
// bits tell apart the devices of the layers. A host directory within which another layer lies counts as a device of
// its own, because a union may show its files twice.
//
// # Changes
//
// An entry appears in the upper complete: what takes more than one system call to make is made in the work directory
// and renamed into place. When a Union is opened, it removes drafts from the work directory, because a crash left
// them. A lock on the work directory, held while a Union is open, keeps a second Union from removing the drafts of
// the first. A copy-up does not sync data: cp and fuse-overlayfs do not either, but the kernel's overlay does. A disk
// may take longer for that than for all the rest, and a program that needs its data on disk calls fsync.
//
// A regular file is copied up without its data when only its attributes or names change: the copy refers to the lower
// file (reference.go). Before the data is changed, the copy is filled in place, so that names and descriptors stay. The
// reference counts as long as it is there, so it is removed last.
//
// A lower file with several names is copied up once: the copy is also linked into the index, a directory in the work
// directory where lookups of the other names find it by (layer, inode). An xattr of the copy counts the names that only
// the lower has, so that st_nlink is right and the index entry goes with the last name. Names that are deleted before
// there is a copy are counted in the index, too; the time of the last deletion is the ctime. Special files and symbolic
// links of HostOwned trees carry no xattrs on disk and are not in the index: their copy gets the names that are known,
// and the names that only the lower has belong to it as long as its node lives.
//
// The root directory of a new upper takes over the attributes of the one that it covers.
//
// A directory that is merged with lower ones is renamed by a note in the upper one, of where the lower ones are.
// Nothing is copied, and what is below goes along, because all of it is found through the directory. The note is made
// before the rename, and changes nothing until then. It is removed after a rename to where it says nothing. Where it
// cannot be made, everything that shows in the directory is copied up first, and then the directory is opaque: a
// program that renames it need not know what to do about EXDEV, and this is less work than copying by hand.
//
// CallerOwned uppers name the lower directories or file exactly, by layer and path. The kernel's notes are a path,
// which is looked up in the layers below (redirectWalk in reference.go). They may be in any layer, so directories
// that are merged may have different paths; before such a note is written, the Union checks that it leads to the
// right files.
//
// # Quota
//
// A Quota limits the blocks and inodes that the upper, with the copies in the index, takes on disk: what du would
// say, not lengths of files. So holes, links and references to a lower cost what they cost, and directories count as
// they grow. The record of xattrs, where there is one, counts as well. Whiteouts and notes in the index do not, and
// no removal is refused, because a full container must be able to make room. Directories that are copied up for a
// removal may pass the limit; there are no more of them than the lowers have. The error is ENOSPC, which programs
// expect, not EDQUOT. Package quota says how the sum is kept.
//
// # Safety
//
// A node becomes a path at one place (openBacking in resolve.go), from an open directory, by one name or beneath the
// layer's root, never through a symbolic link and never into another mount. The tree below a host directory may contain
// the mount that is being served, and a server that touches its own mount waits for itself. A mount point in a layer
// appears as an empty directory (or file) of root.
//
// # Locks
//
// In this order; none is taken while one further down or to its right is held:
//
//	Node.entries (of directories; several only through lockDirs, which sorts by id)
//	  Node.meta (of one node at a time)
//	    the mu of Node.listing
//	      the holes of a quota.Account (around a change of data for which there is no room but what is allocated)
//	      Union.moving (for writing around the system calls of one rename)
//	        Union.mu (tables and names, around no I/O but the note that a file is gone), the mu of the fdcache
//	          the mu of a quota.Account, then of the quota.Ledger
//
// entries guards which names a directory has; it is held for writing to add or remove one. meta guards what the
// backing file of a node is and what its metadata say. Copy-up of a node takes entries of its parent, then meta of
// the node, and goes from the root downwards with nothing held.
//
// A function whose name ends in Held is called with meta of its node held. A function whose name ends in Locked is
// called with the mu held that guards the tables that it uses: Union.mu in this package.
package unionmount
