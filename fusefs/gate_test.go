package fusefs

import (
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

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

// requestsOf are the kinds of the requests that the methods of answers answer.
var requestsOf = map[string][]string{
	"String": nil, "Lookup": {"lookup"}, "Forget": {"forget"}, "GetAttr": {"getattr"}, "SetAttr": {"setattr"},
	"Mknod": {"mknod"}, "Mkdir": {"mkdir"}, "Unlink": {"unlink"}, "Rmdir": {"rmdir"}, "Rename": {"rename"},
	"Link":    {"link"},
	"Symlink": {"symlink"}, "Readlink": {"readlink"}, "GetXAttr": {"getxattr"}, "ListXAttr": {"listxattr"},
	"SetXAttr": {"setxattr"}, "RemoveXAttr": {"removexattr"}, "Open": {"open"}, "OpenDir": {"opendir"},
	"Flush":  {"flush"},
	"Create": {"create"}, "Tmpfile": {"tmpfile"}, "Statx": {"statx"}, "Read": {"read"}, "Write": {"write"},
	"Lseek": {"lseek"}, "CopyFileRange": {"copyfilerange"}, "Fallocate": {"fallocate"}, "Fsync": {"fsync"},
	"FsyncDir": {"fsyncdir"}, "ReadDir": {"readdir"}, "ReadDirPlus": {"readdirplus"}, "StatFs": {"statfs"},
	"Ioctl": {"ioctl"},
}

// reads are the methods of answers that change nothing.
var reads = []string{"String", "Lookup", "Forget", "GetAttr", "Readlink", "GetXAttr", "ListXAttr", "Open",
	"OpenDir", "Flush", "Statx",
	"Read", "Lseek", "Fsync", "FsyncDir", "ReadDir", "ReadDirPlus", "StatFs"}

// TestGateKnowsAllAnswers holds what the gate stops to what the server answers: a new method must be said to read, or
// the gate must hold its requests up.
func TestGateKnowsAllAnswers(t *testing.T) {
	api := reflect.TypeFor[answers]()
	for i := range api.NumMethod() {
		method := api.Method(i).Name
		kinds, listed := requestsOf[method]
		if !listed {
			t.Errorf("%s: this test does not know which requests it answers", method)
		}
		for _, kind := range kinds {
			changes, known := kindsThatChange()[kind]
			if want := !slices.Contains(reads, method); !known || changes != want {
				t.Errorf("%s: requests %s are known %v and held up %v, want %v", method, kind, known, changes, want)
			}
		}
	}
}

// kindsThatChange returns of each kind of request whether all of its opcodes may change the filesystem.
func kindsThatChange() map[string]bool {
	changes := map[string]bool{}
	for opcode, kind := range requestKinds {
		all, seen := changes[kind.name]
		changes[kind.name] = mayChange(uint32(opcode)) && (all || !seen)
	}
	return changes
}

// TestGateHoldsUpUnknownRequests checks that a request that a newer kernel sends does not pass a closed gate.
func TestGateHoldsUpUnknownRequests(t *testing.T) {
	for _, opcode := range []uint32{0, 7, 48, opcodes - 1, opcodes + opGetAttr, 4096, 1<<32 - 1} {
		gate := &Gate{}
		gate.Close()
		passed := make(chan struct{})
		go func() {
			gate.enter(opcode)
			gate.leave(opcode)
			close(passed)
		}()
		for gate.came.Load() == 0 {
			select {
			case <-passed:
				t.Fatalf("request %d passed a closed gate", opcode)
			case <-time.After(time.Millisecond):
			}
		}
		gate.Open()
		<-passed
	}
}
