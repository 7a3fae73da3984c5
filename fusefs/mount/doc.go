// Package mount is the client's side of a FUSE filesystem of ours: it mounts and unmounts, and asks a running server.
//
// It is apart from the server (package fusefs) because other processes do this: a sandbox mounts a root filesystem in
// its own user namespace and hands the connection over, and a command asks for counters. None of them needs the
// protocol. What a server answers to the questions of this package is declared here, and fusefs implements it.
package mount
