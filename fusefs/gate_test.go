package fusefs

import (
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const opSetAttr = 4

// agreeable answers everything that the test asks for.
type agreeable struct{ fuse.RawFileSystem }

func (agreeable) GetAttr(<-chan struct{}, *fuse.GetAttrIn, *fuse.AttrOut) fuse.Status { return fuse.OK }
func (agreeable) SetAttr(<-chan struct{}, *fuse.SetAttrIn, *fuse.AttrOut) fuse.Status { return fuse.OK }

// TestGate plays the kernel: while the gate is closed, changes wait and what only reads does not.
func TestGate(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	kernel, server := ends[0], ends[1]
	defer unix.Close(server)
	must(t, unix.SetNonblock(server, true))
	fs := agreeable{fuse.NewDefaultRawFileSystem()}
	transport := newTransport(server, fuse.NewProtocolServer(fs, &fuse.MountOptions{MaxWrite: maxWrite}), &Counters{})
	gate := &Gate{}
	transport.gate = gate
	done := make(chan error)
	go func() { done <- transport.serve() }()
	init := fuse.InitIn{Major: 7, Minor: 31}
	send(t, kernel, opInit, 1, (*[unsafe.Sizeof(init)]byte)(unsafe.Pointer(&init))[unsafe.Sizeof(init.InHeader):])
	receive(t, kernel)

	change := make([]byte, unsafe.Sizeof(fuse.SetAttrIn{})-unsafe.Sizeof(fuse.InHeader{}))
	send(t, kernel, opSetAttr, 2, change)
	if got := receive(t, kernel); got.Unique != 2 || got.Status != 0 {
		t.Fatalf("while the gate is open: %+v", got)
	}
	gate.Close()
	send(t, kernel, opSetAttr, 3, change)
	for i := range uint64(3) {
		send(t, kernel, opGetAttr, 10+i, make([]byte, 16))
		if got := receive(t, kernel); got.Unique != 10+i || got.Status != 0 {
			t.Fatalf("while the gate is closed: answered %+v, want %d", got, 10+i)
		}
	}
	gate.Open()
	if got := receive(t, kernel); got.Unique != 3 || got.Status != 0 {
		t.Errorf("when it is open again: %+v", got)
	}
	unix.Close(kernel)
	<-done
}

// TestChanging holds the list of what the gate stops to the names of the requests.
func TestChanging(t *testing.T) {
	reading := map[string]bool{}
	for _, kind := range []string{"", "lookup", "forget", "getattr", "readlink", "open", "read", "statfs", "release", "fsync", "getxattr", "listxattr",
		"flush", "init", "opendir", "readdir", "releasedir", "fsyncdir", "getlk", "setlk", "setlkw", "access", "interrupt", "bmap", "destroy",
		"poll", "notifyreply", "readdirplus", "lseek", "syncfs", "statx"} {
		reading[kind] = true
	}
	for opcode, kind := range kinds {
		if changing[opcode] == reading[kind] {
			t.Errorf("request %d, %s: held up %v", opcode, kind, changing[opcode])
		}
	}
}
