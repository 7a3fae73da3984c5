// Package scratch makes directories for unfinished work, and finds those that killed processes have left.
//
// A scratch directory lives as long as the process that made it: the process holds a lock on the directory, and the
// kernel gives up the lock when the process ends, however it ends. So a directory that nobody holds a lock on is
// abandoned, and no process id has to be recorded and believed.
package scratch
