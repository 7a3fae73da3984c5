// Package engine is the life of a container: created, started, attached to, executed in, stopped and removed, and
// what ps, inspect and logs tell of it. The other packages do the work (layers holds the images, unionmount and
// fusefs the root filesystem, rootless the ids and the network, runtime the namespaces); this one says in which order.
//
// # How a container starts
//
//	rcrun run IMAGE CMD
//	   Engine.Create        reserves id and name, makes the read-write layer and the init layer, writes the record
//	   Engine.Start         starts the monitor stage with one end of a socket pair, and sends "start" over it
//	      monitor           takes the container's lock, then
//	         fuse server      is started, and waits for a FUSE connection
//	         runtime.Create   makes namespaces; calls back to write the id maps, to attach the network and to hand
//	                          the FUSE connection over to the server
//	         Container.Start  executes the payload; the monitor answers "started"
//	      monitor           copies output to the log and to those attached, serves the container's socket, and at the
//	                        end records the exit status, cleans up and answers "exited"
//
// # Decisions
//
// There is no daemon, so the truth about a container is a lock: the monitor holds an open-file-description lock on
// the container's lock file for as long as it lives, and whoever wants to know whether a container runs asks the
// kernel who holds it. Nothing needs to be cleaned up after a crash to make that true again, a reused process id
// cannot deceive it, and asking does not disturb anybody, since F_GETLK takes no lock. The process ids in the state
// file are for people, and for killing what a killed monitor left.
//
// Names are symbolic links names/NAME -> ID: symlink(2) is atomic and refuses an existing name, which is all that a
// reservation needs. A container whose record is not complete belongs to nobody but the process that holds its lock;
// where nobody does, its maker was killed, and the next create sweeps it up.
//
// Attaching hands pipes to the monitor (by SCM_RIGHTS) instead of framing the streams into the socket: bytes go
// through unchanged, end of file means end of file, and a client that dies shows as EPIPE. The socket beside them
// carries what is not a stream: resize, signals, the exit status.
//
// Commit, export and diff read a container's layers from disk, at a cost that depends on what it has changed. A container
// that does not run is locked meanwhile. Of one that runs the filesystem server holds up what would change something,
// until the command's connection to the monitor ends, however it does: all of the server's requests pass one place, while
// processes can be stopped unseen only by a cgroup's freezer, which many users do not have. Before that the kernel is made
// to send what it has only in memory. A container that ends meanwhile is over for others when nobody reads it any more.
//
// When the run directory is not given by XDG_RUNTIME_DIR it is a directory below the data directory, not below /tmp:
// nothing there can be squatted by another user. State files name the run directory that the monitor used, so that a
// shell with the variable and a cron job without it see the same containers.
package engine
