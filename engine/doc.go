// Package engine is the life of a container: created, started, attached to, executed in, stopped and removed, and
// what ps, inspect and logs tell of it. The other packages do the work (layers holds the images, unionmount and
// fusefs the root filesystem, rootless the ids and the network, runtime the namespaces); this one says in which order.
//
// # How a container starts
//
//	rcrun run IMAGE CMD
//	   Engine.Create        reserves id and name, makes the read-write layer and the init layer, writes the record
//	   Engine.Start         starts the monitor stage with one end of a socket pair, and sends "start" over it, with
//	                        what the store has for the container
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
// A container's processes are executed from a small program (cmd/rcrun/stage), so this package and what it imports know
// nothing of images. A process of the whole program takes 10 ms to start, mostly for the libraries of images, and one
// of the small program 3; a container has three. It is carried in the whole program and copied to memory, which takes 2
// ms for each container and 5 MB for as long as it runs. A file would have to be found again in the version that fits,
// and be kept from the container, whose root owns it; what is sealed in memory nobody can write to. What needs images
// is done by processes of the whole program: the command finds the layers before it starts the monitor, and the layer
// of a container that goes with its end (--rm) is removed by EraseStage, which the monitor starts as soon as the
// payload has ended, so that it is ready when all else is down. The whole program's file comes with the start message:
// by then another version may be at its path. Where there is no small program, or it cannot be executed, the stages are
// the whole program's.
//
// What a container is asked to be, and what is known of it, are Docker's objects, from github.com/moby/moby/api. A
// server of Docker's API hands them on as they are, and a field that Docker adds cannot be lost by an oversight. That
// module is small, because it holds types and little else; the stages start 0.3 ms later with it, mostly because one of
// its dependencies compiles regular expressions.
//
// There is no daemon, so the truth about a container is a lock: the monitor holds an open-file-description lock on
// the container's lock file for as long as it lives, and a process that wants to know whether a container runs asks the
// kernel who holds it. Nothing needs to be cleaned up after a crash to make that true again, a reused process id
// cannot deceive it, and asking does not disturb anybody, since F_GETLK takes no lock. The process ids in the state
// file are for people, and for killing what a killed monitor left.
//
// The states are Docker's. Created, running and exited are in the state file. Removing and dead are not: a file in the
// container's directory (removalFile) says that a removal has begun, and the lock says whether it goes on. It costs one
// small file and no flush, and it is true after a crash as well. A dead container can only be removed. The next create
// goes on with a removal that was killed. It leaves alone one that failed, because that would fail again and keep
// others from being created. Paused and restarting are known to every reader of the state, but nothing brings a
// container there: that takes a cgroup, and a policy that starts containers again.
//
// Names are symbolic links names/NAME -> ID: symlink(2) is atomic and refuses an existing name, which is all that a
// reservation needs. The directory of a container that is being made or removed says so (record.go), and belongs to the
// process that holds its lock; if no process does, it was killed, and the next create sweeps the directory up. A
// directory that lacks a file of its record and does not say so is a container that has lost its record: its data is
// kept until the user removes it, because a lost record can be written again and data cannot.
//
// A record is in config.v2.json, which does not depend on the host, and hostconfig.json, which does. config.json, the
// name until version 2, is a link: versions that know only this name would take a directory without it for leftovers.
//
// Attaching hands pipes to the monitor (by SCM_RIGHTS) instead of framing the streams into the socket: bytes go
// through unchanged, end of file means end of file, and a client that dies shows as EPIPE. The socket beside them
// carries what is not a stream: resize, signals, the exit status.
//
// Docker's clients attach to a container and begin to wait for its end before they start it, each over a connection of
// its own. So a process can wait for a container's next monitor: it makes a socket in a directory of the container's,
// and the monitor connects to all sockets there before the payload runs. From then on the connection is like one that
// the process made. Before the start no process is needed for this, nothing holds the container's lock, and it can be
// read, changed and removed as before; a process that is killed leaves a socket that refuses. The monitor has the lock
// before it looks, so a process that comes too late for that finds the container running soon, and connects by itself.
// A monitor that exists from the first attachment on would have held the lock, and had to be told of each removal.
//
// An error of the monitor or of a stage travels in one form (wire.Error) with its class, because a caller that is not a
// person must tell a conflict from a missing container without reading texts. ExitCode turns an error into the exit
// code of a command, for the command and for the record of a container that did not start. Fields of that message keep
// the names of the first version (Code, Text), so that monitors and commands of that version still read it.
//
// A process that is executed in a container is an object of its monitor: with an id, to be created, started, resized,
// signalled and inspected by any of the user's processes, since Docker's clients do each by a connection of its own.
// The monitor remembers a number of those that have ended, and all go with the run of the payload. The id begins with
// a part of the container's, so that who has the id finds the monitor. A terminal belongs to the client that started
// the process: when that goes, the process is hung up. So the monitor keeps the terminal open only while it has the
// client.
//
// The monitor stops its container: it signals, waits and kills. The command only asks for that, because a command may
// be killed while it waits, and the container must then end all the same. The record says when a user asked for the
// end, so that no policy starts such a container again. A monitor that is itself asked to end stops its container in
// the same way. A process of ours that is stopped (SIGSTOP) cannot hold up the end: it is continued after a while, and
// then killed.
//
// An error of the filesystem server counts as its death only until the monitor has asked it to end. A server that is
// slow to close its files, or fails then, has served the container to its end.
//
// Texts name a setting of a container as Docker's API does (HostConfig.Memory), and no flag: a caller may be no command
// line. The one of rcrun puts its flags in the place of these names, and adds hints to errors by their type.
//
// A program is replaced while its monitors run on, for months perhaps. Package wire says how the protocol changes, and
// the record tells its version (recordVersion). What one version does not know of the other is refused, and the error
// says whether to restart the container or to use a newer program.
//
// Every call that can block takes a context. A cancelled call closes its connection to the monitor, which is all that
// the monitor needs to forget it: the container, and a process executed in it, run on. A removal that has begun is not
// undone, and a start that was handed to a monitor goes on. The command line cancels only where something has to be
// cleaned up (transfers of images): a signal that kills a command closes the same connections.
//
// Waiting looks at no clock. The monitor's socket tells of the end, and inotify of the log, the record and the lock
// (package filewatch), because a follower may wait for days, and a busy server has many.
//
// Commit, export and diff read a container's layers from disk, at a cost that depends on what it has changed. A
// container that does not run is locked meanwhile. Of one that runs the filesystem server holds up what would change
// something, until the command's connection to the monitor ends, however it does: all of the server's requests pass one
// place, while processes can be stopped unseen only by a cgroup's freezer, which many users do not have. Before that
// the kernel is made to send what it has only in memory. A container that ends meanwhile is over for others when nobody
// reads it any more.
//
// The events of a container (package events) are written by the process that does the thing, once it is done and before
// its requester is told. The monitor writes that the container died before it lets the lock go, because the process
// that has the lock next may write the next event; and a signal's event before that of the end it brings. A process
// that is killed between the deed and its event leaves the event out, with two exceptions that a consumer would miss:
// the end of a container whose monitor was killed is reported by the next process that gets the lock, and the removal
// of a container that was begun by the process that completes it.
//
// Directories of state are the caller's own and not writable by others, or refused (package own), and so is the process
// at the other end of a container's socket: a command hands it arguments, environment and descriptors. An
// XDG_RUNTIME_DIR that the caller may not write to is not used, as if it were not there; one that the caller may write
// to, but that is another user's, is an error and not a warning, since the libraries of images would keep credentials
// there.
//
// When a process of a container's dies, the container does, but for slirp4netns: it is started again, in the same
// network namespace and with the same ports, because a container can do without a network for a moment, and loses what
// it was about without any. A port that somebody else has bound meanwhile is tried again until it is free, and until
// then the record says that the container has no network.
//
// What is needed of an image's files before a container starts (directories for its volumes, an entry for a user who
// keeps their id) is in the init layer: there it is like the image's own, and neither diff nor commit has it.
//
// When the run directory is not given by XDG_RUNTIME_DIR it is a directory below the data directory, not below /tmp:
// nothing there can be squatted by another user. State files name the run directory that the monitor used, so that a
// shell with the variable and a cron job without it see the same containers. The run directory may go before the
// container does, with the login session; so there is a second socket in the container's own directory, which may be on
// a filesystem that has no sockets.
package engine
