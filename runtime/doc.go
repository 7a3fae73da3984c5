// Package runtime makes a running container from an OCI specification, as an ordinary user.
//
//	creator (Create, Start, Exec)    the caller's process, in the host's namespaces
//	  sandbox                        a user and a mount namespace: the root filesystem and all mounts
//	    init -> payload              a user namespace below that one, which owns the mount, pid, ipc, uts, net and
//	                                 cgroup namespaces
//	    exec -> command              in the namespaces of init; one for each Exec
//
// The sandbox is the caller's own binary, executed once more. It learns from argv[0] what it is, and has a wire socket
// as descriptor 3. Init and exec are forked from it and execute nothing but the payload. With Config.Init the first
// process of the container is a reaper, and the payload is its child.
//
// # How a container is created
//
//	sandbox.go    create      leads through the steps
//	              mountRoot   mounts the root filesystem with the caller's access to files
//	binds.go                  opens the sources of bind mounts likewise; then the sandbox becomes user 0
//	init.go       bearInit    forks init into its namespaces and maps its ids
//	furnish.go                makes the mounts, from within init's namespaces, and leaves the host's filesystems
//	init.go       settleInit  has init copy the mount namespace, which locks the mounts in it
//	              startInit   has init become the payload
//	exec.go                   forks further processes
//	child.go, program.go      a forked child and the system calls that it makes
//
// # Decisions and rationale
//
//   - Two user namespaces. A process that the container can see is safe from it only if no capability of the container
//     counts for that process. The kernel asks two things: which user namespace the credentials of the process belong
//     to, and which one its memory belongs to, which is the namespace in which its program was executed. So the sandbox
//     is executed in the outer namespace, what enters the container is forked from it and not executed, and the
//     container's capabilities are those of the inner namespace. Both namespaces have the same ids, so the owners in
//     FUSE requests are what the container sees.
//   - The second namespace also locks the mounts: the sandbox makes them, and init gets a copy of the mount namespace.
//     The kernel lets no process move, detach or loosen a mount that came from a more privileged namespace. A network
//     device for a network between containers can be moved into a namespace below, but not into a sibling. Locks also
//     forbid to bind a directory without what is mounted below it, which programs do that make a root of their own. So
//     with Config.OpenMounts a thread of the sandbox makes the mounts in init's mount namespace, where the container
//     may undo them. That is for containers that may do everything else, too.
//   - A forked child makes raw system calls only, from a list that the sandbox prepares (program). A Go program cannot
//     enter a user namespace, because it has threads. This also starts an exec without executing a stage.
//   - The sandbox leaves the host's filesystems before the payload runs, so neither the sandbox nor what it forks has a
//     way to them. A child has no descriptor open that leads out when it executes the payload.
//   - The sandbox is cloned into its user namespace with all capabilities ambient, so that they survive the execution
//     of its program, which comes before the id maps are written. It needs no second execution.
//   - Only the sandbox opens paths of the host (bind sources, the root), and only while it still has the caller's
//     credentials: what the caller may not read, a container may not mount. Afterwards it becomes user 0 of the
//     namespace, because FUSE servers refuse users that are not mapped, and the map need not contain the caller.
//   - The container is the attacker. Mount points are resolved by openat2(2) beneath the container's root, and mounts
//     are attached by file descriptor, so neither a symbolic link of the image nor a race redirects a mount. What is
//     opened from within, the working directory and the user files, is opened without following a magic link.
//   - A container may serve a filesystem itself, and not answer. An exec in a directory of such a filesystem waits for
//     as long as the context of Exec allows, and is then killed. A thread of the sandbox that waits for the user files
//     on such a filesystem stays until the container ends.
//   - Files that are made for a container are copied to a small tmpfs (CopyMount) and not bound, so they count against
//     no disk and belong to the container's root whatever the id map is.
//   - The sandbox executes a sealed copy of the binary in memory, or a read-only mount of it. Until a child has
//     executed the payload, the child's /proc/self/exe is that binary, and a payload of that name is executed from it.
//     If that were a file of the caller's, the container could write to it, because its root is the caller.
//   - The reaper is not a program of its own either. It has the payload's bounding set, seccomp filter and
//     no_new_privs, and no capability but CAP_KILL. A filter that forbids rt_sigtimedwait or wait4 ends the container.
//   - A container gets a session keyring of its own, because the caller's may hold keys of Kerberos or of encrypted
//     filesystems.
//   - There is no exec before the payload has been executed, because until then nothing in the container may look at
//     init.
//   - A container can stop (SIGSTOP) and kill the processes that it sees. The sandbox wakes a child that was stopped
//     before it became the command, a limited number of times, and then gives up.
//   - Processes end with those above them: the sandbox dies with its creator (parent death signal, and the end of its
//     wire), the first process dies with the sandbox, and all others with the first process of their pid namespace.
//   - A call with a context ends when the context does, and undoes what it began. Create leaves nothing behind, Start
//     and Exec kill what they started.
//   - What a specification asks for and this package does not do is an error that names the field (specFields).
//   - Terminals come from the container's own devpts, opened through the descriptor of its mount.
package runtime
