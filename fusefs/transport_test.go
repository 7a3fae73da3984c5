package fusefs

import (
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// heldUp answers no GETATTR before it was asked for a LOOKUP.
type heldUp struct {
	fuse.RawFileSystem
	looked chan struct{}
}

func (h *heldUp) GetAttr(<-chan struct{}, *fuse.GetAttrIn, *fuse.AttrOut) fuse.Status {
	<-h.looked
	return fuse.OK
}

func (h *heldUp) Lookup(<-chan struct{}, *fuse.InHeader, string, *fuse.EntryOut) fuse.Status {
	h.looked <- struct{}{}
	return fuse.ENOENT
}

// TestHeldUpReader plays the kernel: requests that wait for one that comes later, more than there are readers at first.
func TestHeldUpReader(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	kernel, server := ends[0], ends[1]
	defer unix.Close(server)
	must(t, unix.SetNonblock(server, true))
	fs := &heldUp{fuse.NewDefaultRawFileSystem(), make(chan struct{})}
	transport := newTransport(server, fuse.NewProtocolServer(fs, &fuse.MountOptions{MaxWrite: maxWrite}), &Counters{})
	done := make(chan error)
	go func() { done <- transport.serve() }()

	init := fuse.InitIn{Major: 7, Minor: 31}
	send(t, kernel, opInit, 1, (*[unsafe.Sizeof(init)]byte)(unsafe.Pointer(&init))[unsafe.Sizeof(init.InHeader):])
	if got := receive(t, kernel); got.Unique != 1 || got.Status != 0 {
		t.Fatalf("INIT: %+v", got)
	}
	const waiting = 5
	for i := range waiting {
		send(t, kernel, opGetAttr, uint64(10+i), make([]byte, 16))
	}
	for i := range waiting {
		send(t, kernel, opLookup, uint64(20+i), []byte("name\x00"))
	}
	seen := map[uint64]int32{}
	for range 2 * waiting {
		got := receive(t, kernel)
		seen[got.Unique] = got.Status
	}
	for i := range uint64(waiting) {
		if status, ok := seen[10+i]; !ok || status != 0 {
			t.Errorf("GETATTR %d: answered %v, %d", i, ok, status)
		}
		if status, ok := seen[20+i]; !ok || status != -int32(unix.ENOENT) {
			t.Errorf("LOOKUP %d: answered %v, %d", i, ok, status)
		}
	}
	unix.Close(kernel)
	if err := <-done; err == nil {
		t.Error("the end of the connection is no error")
	}
}

func send(t *testing.T, fd int, opcode uint32, unique uint64, body []byte) {
	t.Helper()
	header := fuse.InHeader{Opcode: opcode, Unique: unique, NodeId: fuse.FUSE_ROOT_ID}
	const size = unsafe.Sizeof(header)
	header.Length = uint32(int(size) + len(body))
	_, err := unix.Write(fd, append((*[size]byte)(unsafe.Pointer(&header))[:], body...))
	must(t, err)
}

func receive(t *testing.T, fd int) fuse.OutHeader {
	t.Helper()
	buf := make([]byte, 4096)
	_, err := unix.Read(fd, buf)
	must(t, err)
	return *(*fuse.OutHeader)(unsafe.Pointer(&buf[0]))
}
