package fusefs

import "golang.org/x/sys/unix"

// newBuffer returns room for the largest request or reply. It is not on the heap: most of it is never touched, but on
// the heap all of it would count as in use, and the collector would let as much garbage pile up as all buffers of all
// readers take.
func newBuffer() []byte {
	buffer, err := unix.Mmap(-1, 0, bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, bufferSize) // which ends the process if there is really no memory
	}
	return buffer
}

// releaseBuffer releases what newBuffer returned. An error means that it is on the heap.
func releaseBuffer(buffer []byte) { unix.Munmap(buffer) }
