// Package runtime makes a running container from an OCI specification, as an ordinary user.
//
//	creator (Create, Start, Exec)    the caller's process, in the host's namespaces
//	  sandbox                        new user and mount (and network) namespace; root file system, bind sources
//	    init -> payload              new pid, mount, ipc, uts, cgroup namespaces; mounts, pivot_root, execve
//	    exec -> command              joins those of init; one for each Exec
//
// With Config.Init the first process of the container is a reaper of ours, and the payload its child.
//
// Every stage is the caller's own binary executed anew and told by argv[0] what it is, with a wire socket as fd 3.
//
// Decisions, and their because:
//   - The sandbox is cloned into its user namespace with all capabilities ambient, so that they survive the exec that
//     comes before the id maps are written; no second exec is needed.
//   - Only the sandbox, while it still has the caller's credentials, opens host paths (bind sources, the root): what
//     the caller may not read, a container may not mount. Afterwards it becomes user 0 of the namespace, because file
//     systems in user space refuse users that are not mapped, and the map need not contain the caller.
//   - The container is the attacker. Mount points are resolved by openat2 beneath the container's root and mounts are
//     attached by file descriptor, so that neither a symlink of the image nor a race redirects one. What a stage
//     opens from within, the working directory and the user files, is opened without passing a magic link.
//   - Stages that enter the container are executed from a sealed copy of the binary in memory, where the caller was
//     executed from one, or from a read-only mount of it (or a sealed copy where that is not possible): the payload is the binary's owner and would otherwise write it through
//     /proc/PID/exe.
//   - Ends follow the tree: the sandbox dies with its creator (parent death signal, and the end of its wire), the
//     first process with the sandbox, and all others with the first process of their pid namespace.
//   - Terminals come from the container's own devpts, opened through the descriptor of its mount.
package runtime
