// Package entry has the entry point of the programs, which runs before the Go runtime.
//
// The runtime reserves address space when it starts. Under a limit (ulimit -v) that is too low for that, it ends the
// program with a trace, and no Go code runs before. So the linker makes this package the entry point (-E in the
// Makefile): it prints an error if the limit is too low, and otherwise jumps to the runtime's own entry point. A
// program that was linked without the option starts as usual.
package entry

// LeastAddressSpace is the limit in bytes below which the program does not start. The runtime alone reserves about 0.7
// GB, and each of its threads reserves more.
const LeastAddressSpace = 2 << 30

// tooLow is the error that the entry point prints. It names the limit in KiB.
//
//lint:ignore U1000 the assembly uses it
var tooLow = "rcrun: the limit of address space is too low: raise it (ulimit -v) to 2097152 or more\n"
