//go:build amd64 || arm64

package entry

// start is the entry point of the program, in assembly. The linker alone refers to it.
//
//lint:ignore U1000 the linker uses it
func start()
