// Package rootless provides what a container needs from the host to run without root: an id map for its user namespace,
// a network through slirp4netns with published ports, and a check of the host that names what is missing and the
// command that adds it.
//
// # Decisions and rationale
//
//   - A weaker map rather than none. Without newuidmap or a range of subordinate ids, a container gets a map of the one
//     id that every user may map. That is enough for the root filesystem, because owners are metadata of the union
//     filesystem and never ids on the disk. So it is a warning and not an error. Only "nomap", which asks for
//     subordinate ids alone, has no weaker substitute.
//   - A pure function of a [Caller] plans the maps, so that one host can test the maps of every host.
//   - Work on the files of many owners runs in a child, because a process with threads, as every Go program is, cannot
//     enter a user namespace itself. [RunInside] starts the program again, forwards signals to it and waits for its
//     end.
//   - slirp4netns ends when a pipe closes that its starter holds, and not by a signal, because the pipe also closes
//     when the starter is killed. Options that old versions lack are found out by starting without them after a
//     failure. To ask for the version first would cost every container an exec.
//   - slirp4netns binds the published ports, but its error says only that this did not work. So they are tried here
//     first, and the user reads which port is taken or privileged.
//   - UDP ports of loopback addresses are relayed here. slirp4netns shows a client on such an address to the container
//     as the gateway. With --disable-host-loopback, which keeps the container from the host's own services, it drops
//     what is sent to the gateway, replies included. Other clients are left to slirp4netns, because the container then
//     sees their own addresses. TCP is left to it as well, because the replies belong to a connection.
//   - What waits takes a context and undoes what it began when the context ends. CheckHost and CurrentCaller take none,
//     because they only read files of the kernel and of the system.
package rootless
