// Package mounted brings a union and its FUSE server together: the process that serves a union, and filesystems that
// are mounted without a container.
//
// The server is a process of its own (Main), because a process that serves a mount must not touch it. Its starter
// sends it the request Open over a socket, mounts the filesystem meanwhile, or has a sandbox mount it, and hands the
// FUSE connection over with Serve. The connection is closed in the starter then: as long as one descriptor of it is
// open, the kernel makes users of the mount wait for a server that has died.
//
// This is the filesystem's side of the program: it needs no container, no runtime and no images. The engine builds on
// it, and a program that is called like fuse-overlayfs can be made of it without the engine.
package mounted
