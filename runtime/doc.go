// Package runtime makes a running container from an OCI specification, as an ordinary user.
//
//	creator (Create, Start, Exec)    the caller's process, in the host's namespaces
//	  sandbox                        a user and a mount namespace: the root filesystem and all mounts
//	    init -> payload              a user namespace below that one, which owns mount, pid, ipc, uts, net, cgroup namespaces
//	    exec -> command              in those of init; one for each Exec
//
// The sandbox is the caller's own binary, executed once more and told by argv[0] what it is, with a wire socket as fd 3.
// Init and exec are forked from it and execute nothing but the payload. With Config.Init the first process of the
// container is a reaper, and the payload its child.
//
// # How a container is created
//
//	sandbox.go    create      leads through the steps
//	              mountRoot   mounts the root filesystem with the caller's access to files
//	binds.go                  opens the sources of bind mounts likewise; then the sandbox becomes user 0
//	init.go       bearInit    forks init into its namespaces and maps its ids
//	furnish.go                makes the mounts, from within init's namespaces, and leaves the host's filesystems
//	init.go       settleInit  has init copy the mount namespace, whose mounts are thereby locked
//	              startInit   has init become the payload
//	exec.go                   forks further processes
//	child.go, program.go      a forked child and the system calls that it makes
//
// # Decisions and rationale
//
//   - Two user namespaces. A process that is seen in a container is safe from it only if no capability of the
//     container counts for that process. The kernel asks two things: which user namespace the credentials of the process
//     belong to, and which one its memory belongs to, which is the one in which its program was executed. So
//     the sandbox is executed in the outer namespace, what enters the container is forked from it and not executed,
//     and the container's capabilities are those of the inner namespace. The ids of both are the same, so the owners
//     in FUSE requests are what the container sees.
//   - The second namespace also locks the mounts: the sandbox makes them, init gets a copy of the mount namespace,
//     and the kernel lets nobody move, detach or loosen a mount that came from a more privileged namespace. A
//     device of a network between containers can be moved into a namespace below, but not into a sibling.
//     Locks also forbid to bind a directory without what is mounted below it, as programs do that make a root of their
//     own. So with Config.OpenMounts a thread of the sandbox makes the mounts in init's mount namespace, where the
//     container may undo them. It is for containers that may do everything else, too.
//   - A forked child makes raw system calls only, from a list that the sandbox prepares (program). A Go program cannot
//     enter a user namespace, because it has threads. This also starts an exec without executing a stage.
//   - The sandbox leaves the host's filesystems before the payload runs, so neither it nor what it forks has a way to
//     them. A descriptor that leads out is not open in a child when it executes the payload.
//   - The sandbox is cloned into its user namespace with all capabilities ambient, so that they survive the exec that
//     comes before the id maps are written; no second exec is needed.
//   - Only the sandbox, while it still has the caller's credentials, opens host paths (bind sources, the root): what
//     the caller may not read, a container may not mount. Afterwards it becomes user 0 of the namespace, because
//     filesystems in user space refuse users that are not mapped, and the map need not contain the caller.
//   - The container is the attacker. Mount points are resolved by openat2 beneath the container's root and mounts are
//     attached by file descriptor, so that neither a symlink of the image nor a race redirects one. What is opened
//     from within, the working directory and the user files, is opened without passing a magic link.
//   - Files that are made for a container are copied to a small tmpfs (CopyMount) and not bound, so that they count against
//     no disk and belong to its root whatever the id map is.
//   - The sandbox executes a sealed copy of the binary in memory, or a read-only mount of it: until a child has executed
//     the payload, /proc/self/exe is that binary for it, and a payload of that name is executed from it. A file of the
//     caller's could then be written by the container, whose root is the caller.
//   - The reaper is not a program of its own either. It has the payload's bounding set, filter and no_new_privs, and of
//     capabilities only CAP_KILL. A filter that forbids rt_sigtimedwait or wait4 ends the container.
//   - A container gets a session keyring of its own: the caller's may hold keys of Kerberos or of encrypted filesystems.
//   - Until the payload has been executed there is no exec: nothing in the container may look at init before that.
//   - A container can stop (SIGSTOP) and kill what it sees. The sandbox wakes a child that was stopped before it became
//     the command, some times, and then gives up.
//   - Ends follow the tree: the sandbox dies with its creator (parent death signal, and the end of its wire), the
//     first process with the sandbox, and all others with the first process of their pid namespace.
//   - Terminals come from the container's own devpts, opened through the descriptor of its mount.
package runtime
