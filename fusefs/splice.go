package fusefs

import (
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A large READ is answered through a pipe: the data goes from the page cache of the backing file to the page cache of
// the mount, and never through this process. That takes two thirds of the time of copying it twice. It takes five
// system calls, which pay for themselves from spliceMin on.
const (
	spliceMin   = 64 << 10
	pipeSize    = 1 << 20           // the most that an unprivileged process may have
	spliceMost  = pipeSize - 2*4096 // a pipe holds pages: the header takes one, unaligned data takes one more
	outSize     = int(unsafe.Sizeof(fuse.OutHeader{}))
	readRequest = int(unsafe.Sizeof(fuse.ReadIn{}))
)

// source opens the data of a READ.
type source interface {
	// openRead returns a descriptor of the file of a node, how many of the size bytes at offset the file has, and a
	// function that gives the descriptor back. ok is false if the data cannot be had from a descriptor.
	openRead(node uint64, offset int64, size int) (fd, length int, release func(), ok bool)
	// readDone counts bytes that were sent.
	readDone(length int)
}

// pipe is the pipe of a reader. It is made when it is first needed.
type pipe struct {
	r, w int
	made bool
}

// splice answers a request if it is a large READ, and returns false if it has not answered.
func (r *reader) splice(request []byte) bool {
	header := (*fuse.InHeader)(unsafe.Pointer(&request[0]))
	if header.Opcode != opRead || len(request) < readRequest || r.t.source == nil {
		return false
	}
	in := (*fuse.ReadIn)(unsafe.Pointer(&request[0]))
	if in.Size < spliceMin || in.Size > spliceMost || !r.pipe.make() {
		return false
	}
	fd, length, release, ok := r.t.source.openRead(header.NodeId, int64(in.Offset), int(in.Size))
	if !ok {
		return false
	}
	defer release()
	if length < spliceMin {
		return false
	}
	if !r.pipe.fill(header.Unique, fd, int64(in.Offset), length) {
		r.pipe.close() // with the data in it
		return false
	}
	if n, err := unix.Splice(r.pipe.r, nil, r.t.fd, nil, outSize+length, 0); err != nil || int(n) != outSize+length {
		r.pipe.close() // no caller waits for the answer any more
	}
	r.t.source.readDone(length)
	return true
}

// fill puts the answer into the pipe: the header, and length bytes of a file. It returns false if the file has fewer.
func (p *pipe) fill(unique uint64, fd int, offset int64, length int) bool {
	header := fuse.OutHeader{Length: uint32(outSize + length), Unique: unique}
	n, err := unix.Write(p.w, (*[unsafe.Sizeof(header)]byte)(unsafe.Pointer(&header))[:])
	if err != nil || n != outSize {
		return false
	}
	for left := length; left > 0; {
		n, err := unix.Splice(fd, &offset, p.w, nil, left, unix.SPLICE_F_NONBLOCK)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return false
		}
		left -= int(n)
	}
	return true
}

// make makes the pipe if there is none, and tells whether there is one.
func (p *pipe) make() bool {
	if p.made {
		return true
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return false
	}
	p.r, p.w, p.made = fds[0], fds[1], true
	if n, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err != nil || n < pipeSize {
		p.close()
		return false
	}
	return true
}

func (p *pipe) close() {
	if p.made {
		unix.Close(p.r)
		unix.Close(p.w)
	}
	*p = pipe{}
}
