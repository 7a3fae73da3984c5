// Package entry is where the programs start, before the Go runtime does.
//
// The runtime reserves address space when it starts. Under a limit (ulimit -v) that does not allow for that, it ends
// the program with a trace of itself, and no code in Go runs before. So the linker is told that the program starts here
// (-E in the Makefile): where the limit is too low, that is said, and otherwise the runtime's own start follows. A
// program that was linked without the option starts as others do.
package entry

// LeastAddressSpace is the limit below which the program does not start, in bytes. The runtime alone reserves about 0.7
// GB, and each of its threads more.
const LeastAddressSpace = 2 << 30

// tooLow is what is said below the limit, which it names in KiB.
//
//lint:ignore U1000 the assembly uses it
var tooLow = "rcrun: the limit of address space is too low: raise it (ulimit -v) to 2097152 or more\n"
