// Package fusefs serves a union filesystem (package unionmount) over an open /dev/fuse. It is the only importer of
// go-fuse: it knows the protocol and the caching policy, and nothing of layers.
//
// A FUSE request costs about fifty times what the system call behind it does, so the policy is to be asked as seldom
// as possible. All of it rests on one fact: nobody but the server changes the tree.
//
//   - OPEN, OPENDIR and FLUSH are answered ENOSYS. The kernel then opens and closes by itself, sends no RELEASE either, and
//     keeps cached data and directories over a close. There are no handles: a request names a node, and a directory
//     is read by cookies that belong to the node.
//   - CREATE is answered ENOSYS: the kernel uses MKNOD and its own open. Only files without a name (O_TMPFILE) are
//     opened by the server.
//   - Entries, also negative ones, and attributes never expire; cached data is dropped by the kernel only where it
//     changes something itself; targets of links are cached.
//   - READDIRPLUS fills all of that in for a whole directory.
//   - HANDLE_KILLPRIV_V2: the server drops suid, sgid and capabilities, so a write need not ask for them first.
//   - No writeback cache, unless asked for: with it, every close makes the kernel ask for the block count again, and a
//     full disk is reported too late.
//   - POSIX ACLs are the kernel's to obey, by POSIX_ACL; the union has them inherited in place of the umask, which for
//     that reason is not applied by the kernel (DONT_MASK).
//   - A file can be opened by its handle (name_to_handle_at) as long as the kernel remembers it: handles are node ids, and
//     to find a forgotten file by its inode number takes privileges on the host. Then it is ESTALE.
//   - Locks are not forwarded: a mount has one kernel, which knows them all.
//
// What a request costs is mostly that one thread sleeps while another wakes up: the same statfs(2) takes 5 us where
// caller and server share a processor and 12 us where they do not, on a virtual machine in which a processor has to be
// woken up. So requests are read and answered by one thread at a time, which after a reply looks for the next request
// for some microseconds before it sleeps, and others take over only from one that is held up (transport.go,
// patience.go). Large reads are answered through a pipe, without passing through this process (splice.go).
//
// Access times are the server's to give, by the flags of the mount, which it follows (mountflags.go). It gives them for
// requests only: with noatime and relatime, what the kernel reads from its cache costs none and leaves the access time
// as it is. With strictatime from the start, files and directories are opened by the server and not cached. A remount
// in the mount namespace of a container does not come to its server's knowledge.
//
// What remains is the kernel's to decide. A new file that is written takes five requests: LOOKUP, because its name
// might be there; GETATTR of the directory, whose permissions the kernel takes for unknown since the last change in it;
// MKNOD; GETXATTR of security.capability before the first write; WRITE. After the first read of a file or directory its
// next stat(2) is a GETATTR, for the access time.
//
// Permissions are the kernel's to check (mount option default_permissions), as are names' existence and types. The
// server runs in the host's user namespace, as the caller; the ids in requests are the container's.
//
// It never forks and never touches its own mount: either would wait for itself. It does not panic: a panic in a
// request is an EIO for that request and a line in the log.
package fusefs
