// Package rootless is what a container needs from the host to run without root: an id map for its user namespace, a
// network through slirp4netns with published ports, and a check of the host that names what is missing and the
// command that brings it.
//
// Decisions:
//
//   - A weaker map rather than none. Without newuidmap or a range of subordinate ids, a container gets a map of the
//     one id that every user may map. That is enough for the root filesystem, because owners are metadata of the
//     union filesystem and never ids on the disk; so it is a warning, not an error. Only "nomap", which asks for
//     subordinate ids alone, has nothing weaker to offer.
//   - The maps are planned by a pure function of a [Caller], so that every host can be tested on one.
//   - What needs the files of many owners runs in a child: a process with threads, as every Go program is, cannot
//     enter a user namespace itself. [RunInside] starts the program again and is its shadow until it ends.
//   - slirp4netns is told to end by a pipe that its starter holds, not by a signal: the pipe closes also when the
//     starter is killed. Options that old versions lack are found out by starting without them after a failure, not
//     by asking for the version first, which would cost every container an exec.
//   - Published ports are bound by slirp4netns, whose error says only that it did not work. They are tried here
//     first, so that the user reads which port is taken or privileged.
//   - UDP ports of loopback addresses are relayed here. slirp4netns shows a client there to the container as the
//     gateway, and with --disable-host-loopback, which keeps the container from the host's own services, it drops
//     what is sent to the gateway, replies included. Other clients are left to it, because the container sees their
//     own addresses then; so is TCP, where the replies belong to a connection.
package rootless
