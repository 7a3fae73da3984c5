// Package listing keeps the names of a directory: the order in which they are read, and which lowers have which name.
//
// A reader gets the names after a cookie, which stands for a position in the order; nothing has to be open for it.
// New names come before all others, so a reader that makes or renames entries while it reads meets none of them, and
// comes to the end. They could also come after all others, up to a mark that opening or rewinding the directory sets,
// as in kernel filesystems; but the mark would take a request for each opening.
//
// Methods whose names end in Locked are called with the mu of the Listing held.
package listing
