package fusefs

import "golang.org/x/sys/unix"

// newBuffer returns room for the largest request or reply. It is not of the heap: most of it is never touched, and on
// the heap it would count as in use, so that as much garbage as all buffers of all readers would be left to lie.
func newBuffer() []byte {
	buffer, err := unix.Mmap(-1, 0, bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, bufferSize) // which ends the process where there is really no memory
	}
	return buffer
}

// releaseBuffer gives back what newBuffer returned. An error means that it is of the heap.
func releaseBuffer(buffer []byte) { unix.Munmap(buffer) }
