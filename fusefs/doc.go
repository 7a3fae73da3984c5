// Package fusefs serves a union filesystem (package unionmount) over an open /dev/fuse. It is the only package that
// imports go-fuse: it knows the protocol and the caching policy, and nothing of layers. Package mount is the client:
// it mounts, unmounts and asks the server.
//
// A FUSE request costs about fifty times what the system call behind it does, so the kernel should send as few as
// possible. The whole policy rests on one fact: only the server changes the tree.
//
//   - OPEN, OPENDIR and FLUSH are answered ENOSYS. The kernel then opens and closes by itself, sends no RELEASE
//     either, and keeps cached data and directories after a close. There are no handles: a request names a node, and
//     a directory is read by cookies that belong to the node.
//   - CREATE is answered ENOSYS: the kernel uses MKNOD and its own open. Only files without a name (O_TMPFILE) are
//     opened by the server.
//   - Entries (also negative ones) and attributes never expire. The kernel drops cached data only where it changes
//     something itself. It caches targets of links.
//   - READDIRPLUS fills the caches for a whole directory.
//   - HANDLE_KILLPRIV_V2: the server drops suid, sgid and capabilities, so a write need not ask for them first.
//   - No writeback cache, unless asked for: with it, every close makes the kernel ask for the block count again, and a
//     full disk is reported too late.
//   - The kernel obeys POSIX ACLs (POSIX_ACL). New entries inherit them in the union, in place of the umask. For that
//     reason the kernel does not apply the umask (DONT_MASK).
//   - A file can be opened by its handle (name_to_handle_at) as long as the kernel remembers it; after that the error
//     is ESTALE. Handles are node ids, because finding a forgotten file by its inode number takes privileges on the
//     host.
//   - Locks are not forwarded, because all users of a mount have the same kernel, which knows them all.
//
// Most of the cost of a request is that one thread goes to sleep and another wakes up. On a virtual machine, in which
// waking a processor is slow, the same statfs(2) takes 5 us if caller and server share a processor and 12 us if they
// do not. So one thread at a time reads requests and answers them. After a reply it looks for the next request for
// some microseconds before it sleeps. Other threads take over only if it is held up (transport.go, patience.go).
// Large reads are answered through a pipe, without passing through this process (splice.go).
//
// The server sets access times, by the flags of the mount, which it follows (mountflags.go). It sets them for
// requests only: with noatime and relatime, reads that the kernel answers from its cache send no request and leave
// the access time as it is. With strictatime from the start, the server opens files and directories and the kernel
// does not cache them. The server does not notice a remount in the mount namespace of a container.
//
// The kernel decides the rest. Writing a new file takes five requests: LOOKUP, because its name might exist; GETATTR
// of the directory, because the kernel takes its permissions for unknown since the last change in it; MKNOD; GETXATTR
// of security.capability before the first write; WRITE. After the first read of a file or directory its next stat(2)
// is a GETATTR, for the access time.
//
// The kernel checks permissions (mount option default_permissions), and whether names exist and have the right type.
// The server runs in the host's user namespace, as the user. The ids in requests are the container's.
//
// The server never forks and never touches its own mount, because both would wait for the server itself. A panic in a
// request does not end it: it is an EIO for that request and a line in the log.
package fusefs
