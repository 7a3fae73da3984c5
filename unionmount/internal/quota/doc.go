// Package quota limits what an upper directory takes on disk.
//
// A Ledger keeps the sum of what all files take. Whatever an operation does, each file that it changed is charged by
// looking at it afterwards (Account.Settle), because only the filesystem knows everything that it does with blocks.
//
// Data is promised room before it is written (Grant), so that writers at the same time do not pass the limit
// together. At first it is promised all that it may take, which costs no look at the file. Only if that is too much
// does the Ledger find out which blocks are missing. It uses the filesystem's map of the file, because SEEK_HOLE
// shows blocks that were allocated and never written as holes, and a program that has allocated them may rely on
// them. A write that fits in part is done in part. A new name or link may or may not make its directory grow. It is
// let through as long as the limit is not passed, and may pass it by a few blocks, once: to promise the worst case
// would refuse to a full container what a full disk does not.
//
// A removed file counts as long as the kernel knows it, since it may be open. The kernel says with a delay that it has
// forgotten one. So if a file that was removed within the last second is still known, a change that finds no room waits
// briefly, so that a write right after rm does not fail. If the file is still open, the wait times out (80 ms).
//
// The sum is kept in the work directory from a clean Close of the union to the next Open. In three cases all files of
// the upper are counted instead, which costs a system call for each of them: after a crash, after a reboot (neither
// the kept sum nor its removal is flushed to the disk), and in trees that other programs write, too.
//
// A filesystem may change the blocks of a file when no program changes the file. ext4 adds one for the list of a file's
// extents, or takes it back, when it writes data out, and may pass the limit by that much. A file that the kernel still
// knows is charged what is true when it changes again. For other files the difference is noticed when the upper is
// counted; for that reason it is also counted once files have grown by a quarter of the limit since the last count. To
// wait for the writing before every look would make each change as slow as the disk.
//
// XFS allocates more blocks than it was asked for and takes them back when it likes. Those are not charged
// (ahead.go), because otherwise a container would meet its limit long before it is reached. Blocks that a container
// allocates behind the end of a file would look the same, so allocating there is refused.
//
// Without a limit there is no Ledger and there are no Accounts: methods of nil ones do nothing and have room for
// everything.
//
// Locks: an Account's holes lock comes before its mu, and both come before the mu of the Ledger. Methods whose names
// end in Locked are called with the mu of the Ledger held, setHeld with the mu of the Account.
package quota
