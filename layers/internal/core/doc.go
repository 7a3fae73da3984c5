// Package core is an open store: the library's store and its records, the files beside them, and the work that is in
// progress. The packages of layers/ are built on it; nothing else can import it.
//
// Decisions and their reasons:
//
//   - Whatever changes the store holds a locked directory in ROOT/tmp meanwhile. A directory without the lock says that
//     a process was killed over its work. Only then does the next process look for files that are not on record and for
//     records that are not finished, and removes them. What a killed transfer has brought in whole stays for a day,
//     because that makes its repetition cheaper.
//   - The library keeps all records of a kind in one file, and after a failed write it goes on with the records in its
//     memory. So this package has it read the files again after an error. A record that the library cannot read would
//     keep it from opening the store; it is taken out of the file, and a copy of the file stays.
//   - On a full disk nothing could be removed, because the records without a thing are written before the records with
//     it are deleted. So a store keeps a reserve of room for that.
//   - The library removes a layer with a descriptor open for each of its directory levels, and it opens no store as
//     long as it cannot remove what a killed process has left. So with the library's drivers this package removes what
//     a container has written before the library is asked to remove the rest, and moves the directories that the
//     library has staged to abandoned work before the library looks for them.
//   - The tar of a layer is written by this package and not by the library, which would hold the lock on all layers
//     while a slow reader takes its time.
package core
