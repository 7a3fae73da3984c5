package fusefs

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

const (
	maxReaders = 32
	// bufferSize holds the largest request and the largest reply, with their headers.
	bufferSize = maxWrite + 4096
	// slow is the average duration of a kind of request from which on another reader leads meanwhile, if there are
	// several callers. With a single caller, waking another reader up costs more than waiting for the next request.
	slow = 100 * time.Microsecond
	// tick bounds how long a single request may hold up others. rest is the number of ticks without requests after
	// which the watch sleeps.
	tick = time.Millisecond
	rest = 10
	// always is fixed-point 1.0 for the moving averages below. If more than manyWait (25%) of requests were already
	// queued when read, we assume several concurrent callers.
	always   = 1 << 16
	manyWait = always / 4
)

// transport moves requests and replies between /dev/fuse and the protocol. One reader, the leader, waits for requests
// and answers them itself: with one reader no thread goes to sleep while another wakes up, which is most of the cost
// of a request. Before a request of a slow kind is answered, another reader becomes the leader. If a leader is held
// up unexpectedly, the watch replaces it. After a reply the leader looks for the next request for some time before it
// sleeps, because most callers have another one.
type transport struct {
	fd       int
	protocol *fuse.ProtocolServer
	counters *Counters
	source   source // nil if the protocol answers every READ
	gate     *Gate  // nil if nothing is ever held up
	start    time.Time

	leader  atomic.Pointer[reader]
	waited  atomic.Int64          // the average of whether a request was there when a reader looked for one
	usual   [opcodes]atomic.Int64 // the average duration of requests by opcode, in nanoseconds
	dozing  atomic.Bool           // the watch waits for rouse
	rouse   chan struct{}
	gone    chan struct{} // closed when there will be no more requests
	readers sync.WaitGroup

	mu    sync.Mutex // guards what follows
	free  []*reader  // that wait until they lead
	count int        // of readers
	most  int        // bound of count; not changed while the transport serves
	err   error      // why the transport ended, other than by an unmount
	ended bool
}

// reader reads and answers requests, in a goroutine of its own.
type reader struct {
	t       *transport
	in, out []byte
	lead    chan struct{} // has a token when the reader has become the leader
	pipe    pipe
	patience
	busy atomic.Int64 // when the request came that it is answering, as now returns; 0 between requests
}

var errGone = errors.New("the filesystem was unmounted")

func newTransport(fd int, protocol *fuse.ProtocolServer, counters *Counters) *transport {
	return &transport{fd: fd, protocol: protocol, counters: counters, start: time.Now(), most: maxReaders,
		rouse: make(chan struct{}, 1), gone: make(chan struct{})}
}

// serve answers requests until the mount is gone.
func (t *transport) serve() error {
	t.mu.Lock()
	t.startLocked()
	t.mu.Unlock()
	go t.watch()
	t.readers.Wait()
	return t.err
}

// startLocked starts another reader as the leader.
func (t *transport) startLocked() {
	r := &reader{t: t, in: newBuffer(), out: newBuffer(), lead: make(chan struct{}, 1)}
	t.count++
	t.leader.Store(r)
	t.readers.Add(1)
	go r.run()
}

// replace makes another reader the leader if r is, and if there is or may be another.
func (t *transport) replace(r *reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch last := len(t.free) - 1; {
	case t.ended || t.leader.Load() != r:
	case last >= 0:
		next := t.free[last]
		t.free = t.free[:last]
		t.leader.Store(next)
		next.lead <- struct{}{}
	case t.count < t.most:
		t.startLocked()
	}
}

// retire waits until r is made the leader again. It returns false if the transport has ended.
func (t *transport) retire(r *reader) bool {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return false
	}
	t.free = append(t.free, r)
	t.mu.Unlock()
	select {
	case <-r.lead:
		return true
	case <-t.gone:
		return false
	}
}

// end makes all readers end.
func (t *transport) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	if err != errGone {
		t.err = err
	}
	close(t.gone)
}

// watch replaces a leader that is held up by a request.
func (t *transport) watch() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for quiet := 0; ; {
		select {
		case <-ticker.C:
		case <-t.gone:
			return
		}
		r := t.leader.Load()
		since := r.busy.Load()
		switch {
		case since == 0:
			quiet++
		case t.now()-since > int64(tick):
			t.replace(r)
			quiet = 0
		default:
			quiet = 0
		}
		if quiet > rest {
			t.doze()
			quiet = 0
		}
	}
}

// doze waits for a request.
func (t *transport) doze() {
	t.dozing.Store(true)
	defer t.dozing.Store(false)
	if t.leader.Load().busy.Load() != 0 {
		return
	}
	select {
	case <-t.rouse:
	case <-t.gone:
	}
}

// now returns the time since the transport was made, in nanoseconds.
func (t *transport) now() int64 { return int64(time.Since(t.start)) }

// run reads and answers requests whenever r leads.
func (r *reader) run() {
	defer r.t.readers.Done()
	defer r.pipe.close()
	defer releaseBuffer(r.out)
	defer releaseBuffer(r.in)
	for {
		for r.t.leader.Load() == r {
			n, err := r.next()
			if err != nil {
				r.t.end(err)
				return
			}
			r.answer(r.in[:n])
		}
		if !r.t.retire(r) {
			return
		}
	}
}

// next reads a request.
func (r *reader) next() (int, error) {
	start := r.t.now()
	n, err := r.look(start)
	found := err != unix.EAGAIN
	for {
		switch err {
		case nil:
			if n < int(unsafe.Sizeof(fuse.InHeader{})) {
				return 0, fmt.Errorf("read a request: %d bytes are too few", n)
			}
			r.came(time.Duration(r.t.now()-start), found)
			return n, nil
		case unix.EAGAIN:
			if err := r.sleep(); err != nil {
				return 0, fmt.Errorf("wait for a request: %w", err)
			}
		case unix.EINTR, unix.ENOENT:
			// ENOENT: the request was withdrawn before it was read, because its caller was killed.
		case unix.ENODEV:
			return 0, errGone
		default:
			return 0, fmt.Errorf("read a request: %w", err)
		}
		n, err = r.try()
	}
}

// try reads a request if there is one, else it returns EAGAIN.
func (r *reader) try() (int, error) { return unix.Read(r.t.fd, r.in) }

// sleep returns when there is a request, or there will be none any more.
func (r *reader) sleep() error {
	fds := [1]unix.PollFd{{Fd: int32(r.t.fd), Events: unix.POLLIN}}
	return eintr.Repeat(func() error { _, err := unix.Poll(fds[:], -1); return err })
}

// look tries as long as the patience of the reader lasts.
func (r *reader) look(start int64) (int, error) {
	n, err := r.try()
	r.t.noteWaited(err == nil)
	for at, end := start, r.ends(start); err == unix.EAGAIN && at < end && at > r.crowded; {
		unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // never fails
		before := at
		n, err = r.try()
		at = r.t.now()
		r.madeWay(before, at, err != unix.EAGAIN)
	}
	return n, err
}

// answer answers a request. If its kind is slow, another reader leads meanwhile.
func (r *reader) answer(request []byte) {
	start := r.t.now()
	r.busy.Store(start)
	if r.t.dozing.Load() {
		select {
		case r.t.rouse <- struct{}{}:
		default:
		}
	}
	opcode := (*fuse.InHeader)(unsafe.Pointer(&request[0])).Opcode
	r.t.counters.count(opcode)
	usual := &r.t.usual[opcode%opcodes]
	if r.t.handsOver(usual.Load()) {
		r.t.replace(r)
	}
	r.t.gate.enter(opcode)
	if !r.splice(request) {
		r.reply(request)
	}
	r.t.gate.leave(opcode)
	r.busy.Store(0)
	average := usual.Load()
	usual.Store(average + (r.t.now()-start-average)/8)
}

// noteWaited notes whether a request was there before a reader was.
func (t *transport) noteWaited(did bool) {
	average, now := t.waited.Load(), int64(0)
	if did {
		now = always
	}
	t.waited.Store(average + (now-average)/8)
}

// handsOver tells whether another reader should lead while a request is answered that takes so long on average.
func (t *transport) handsOver(usual int64) bool {
	return usual > int64(tick) || usual > int64(slow) && t.waited.Load() > manyWait
}

// reply handles a request and writes the reply. An error of writing is ignored: it means that no caller waits for the
// reply any more.
func (r *reader) reply(request []byte) {
	n, status := r.t.protocol.HandleRequest([][]byte{request}, [][]byte{r.out})
	if !status.Ok() { // no reply was made, because the request is malformed
		header := (*fuse.InHeader)(unsafe.Pointer(&request[0]))
		n = int(unsafe.Sizeof(fuse.OutHeader{}))
		*(*fuse.OutHeader)(unsafe.Pointer(&r.out[0])) = fuse.OutHeader{
			Length: uint32(n), Status: -int32(status), Unique: header.Unique}
	}
	if n > 0 {
		eintr.Repeat(func() error { _, err := unix.Write(r.t.fd, r.out[:n]); return err })
	}
}

// attributesChanged makes the kernel ask for the attributes of a node again. ENOENT means that it does not know it.
func (t *transport) attributesChanged(node uint64) error {
	message := struct {
		fuse.OutHeader
		fuse.NotifyInvalInodeOut
	}{}
	const size = unsafe.Sizeof(message)
	message.OutHeader = fuse.OutHeader{Length: uint32(size), Status: -int32(fuse.NOTIFY_INVAL_INODE)}
	message.NotifyInvalInodeOut = fuse.NotifyInvalInodeOut{Ino: node, Off: -1}
	return eintr.Repeat(func() error {
		_, err := unix.Write(t.fd, (*[size]byte)(unsafe.Pointer(&message))[:])
		return err
	})
}
