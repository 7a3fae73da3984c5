package runtime

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// program is a list of system calls for a forked child (see child), in memory that parent and child share. The parent
// writes the calls and everything that they point to, and reads from the same memory how each call ended. Parent and
// child have the memory at the same address, so pointers hold.
type program struct {
	mem   []byte // header, then calls, then what they point to
	data0 int    // offset in mem of what the calls point to
	used  int    // bytes of mem in use
	names []string
	err   error // the first thing that did not fit

	control *step // fork sets its first argument to the descriptor of the control socket; may be nil
}

// header is at the beginning of the memory.
type header struct {
	count   uint32 // calls to be made
	current uint32 // index of the call being made; count after the last
	failed  uint32 // 1: the current call failed, and the child gave up
	control int32  // the child's descriptor of its socket to the parent; -1: it has none
	pidfd   int32  // of the child, as the parent has it
	payload int32  // pid of the process that the child has forked
	status  int32  // of a child that was waited for
	signals uint64 // the set of all signals
	byte    [8]byte
	info    [128]byte // siginfo_t
}

// step is one system call.
type step struct {
	number    uintptr
	args      [6]uintptr
	tolerated [3]unix.Errno // with these the program goes on
	from      uint32        // index of the step, plus one, whose result is the first argument; 0: none
	exact     bool          // a result other than want is an error
	want      uintptr
	errno     unix.Errno
	result    uintptr
}

// Calls that are not the kernel's.
const (
	callFork = ^uintptr(iota) // forks: the child goes on at the call args[0], the parent with the next one
	callReap                  // waits for the child of callFork and orphans, forwards signals, ends as the child does
	callFail                  // gives up
)

const (
	headerSize = int(unsafe.Sizeof(header{}))
	stepSize   = int(unsafe.Sizeof(step{}))
)

// newProgram makes room for a program of so many steps, and size bytes for what they point to. Pages that are not
// written to cost nothing.
func newProgram(steps, size int) (*program, error) {
	data := headerSize + steps*stepSize
	mem, err := unix.Mmap(-1, 0, data+size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map memory for a program of system calls: %w", err)
	}
	p := &program{mem: mem, data0: data}
	p.reset()
	p.header().control, p.header().signals = -1, ^uint64(0)
	return p, nil
}

// free releases the parent's hold of the memory.
func (p *program) free() {
	if p.mem != nil {
		unix.Munmap(p.mem)
		p.mem = nil
	}
}

// reset empties the program for the next one.
func (p *program) reset() {
	h := p.header()
	h.count, h.current, h.failed = 0, 0, 0
	p.used, p.names, p.err, p.control = p.data0, nil, nil, nil
}

func (p *program) header() *header { return (*header)(unsafe.Pointer(unsafe.SliceData(p.mem))) }

func (p *program) step(i int) *step {
	return (*step)(unsafe.Pointer(unsafe.SliceData(p.mem[headerSize+i*stepSize:])))
}

func (p *program) len() int { return int(p.header().count) }

// add appends a call. name is what it does, for error messages.
func (p *program) add(name string, number uintptr, args ...uintptr) *step {
	i := p.len()
	if headerSize+(i+1)*stepSize > p.data0 {
		p.err = errors.New("too many system calls for one program")
		return &step{}
	}
	c := p.step(i)
	*c = step{number: number}
	copy(c.args[:], args)
	p.names = append(p.names, name)
	p.header().count++
	return c
}

// tolerate lets the program go on after these errors.
func (c *step) tolerate(errnos ...unix.Errno) *step {
	copy(c.tolerated[:], errnos)
	return c
}

// ofLast takes the step that was added last. Its first argument becomes the result of a step before it: 1 is the one
// before it, 2 the one before that.
func (p *program) ofLast(back int) *step {
	c := p.step(p.len() - 1)
	c.from = uint32(p.len() - back)
	return c
}

// mustReturn makes every other result an error.
func (c *step) mustReturn(want uintptr) *step {
	c.exact, c.want = true, want
	return c
}

// data copies bytes to the shared memory and returns their address, aligned for any type.
func (p *program) data(b []byte) uintptr {
	const align = 16
	start := (p.used + align - 1) &^ (align - 1)
	if start+len(b) > len(p.mem) {
		p.err = fmt.Errorf("%d bytes are too much for a program of system calls: %w", len(b), unix.E2BIG)
		return 0
	}
	copy(p.mem[start:], b)
	p.used = start + len(b)
	return uintptr(unsafe.Pointer(&p.mem[start]))
}

// text copies a string for the kernel. One with a NUL is an error.
func (p *program) text(s string) uintptr {
	b, err := unix.ByteSliceFromString(s)
	if err != nil {
		p.err = fmt.Errorf("%q: a NUL byte: %w", s, err)
		return 0
	}
	return p.data(b)
}

// list copies a list of strings as execve takes it.
func (p *program) list(texts []string) uintptr {
	addresses := make([]uintptr, len(texts)+1)
	for i, text := range texts {
		addresses[i] = p.text(text)
	}
	return object(p, addresses)
}

// object copies the elements of a slice.
func object[T any](p *program, elements []T) uintptr {
	if len(elements) == 0 {
		return 0
	}
	first := unsafe.Pointer(unsafe.SliceData(elements))
	return p.data(unsafe.Slice((*byte)(first), len(elements)*int(unsafe.Sizeof(elements[0]))))
}

// listSize bounds how many bytes list takes.
func listSize(texts []string) int {
	size := 16 * (len(texts) + 2)
	for _, text := range texts {
		size += len(text) + 32
	}
	return size
}

// callError tells which call of a program failed.
type callError struct {
	name  string
	errno unix.Errno
}

func (e *callError) Error() string { return e.name + ": " + e.errno.Error() }
func (e *callError) Unwrap() error { return e.errno }

// errKilled is the error of a child that ended before the end of its program.
var errKilled = errors.New("the process was killed before it had become the command")

// outcome tells how the program ended, after the child has reported or ended.
func (p *program) outcome() error {
	h := p.header()
	if h.failed != 0 {
		return p.failure(int(h.current))
	}
	// A child that has executed a program reports nothing more.
	if int(h.current) < p.len() && p.step(int(h.current)).number != unix.SYS_EXECVE {
		return errKilled
	}
	return nil
}

// failure is the error of the call i. After the last candidate of a command it is the most telling errno of all
// candidates, as with execvp(3).
func (p *program) failure(i int) error {
	c := p.step(i)
	if c.number != callFail {
		return &callError{p.names[i], c.errno}
	}
	errno := unix.ENOENT
	for i := range p.len() {
		if c := p.step(i); c.number == unix.SYS_EXECVE && c.errno == unix.EACCES {
			errno = c.errno
		}
	}
	return &callError{p.names[i], errno}
}
