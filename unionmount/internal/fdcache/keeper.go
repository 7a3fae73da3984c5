package fdcache

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/eintr"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// keeper is a thread with a table of descriptors of its own. A file that it holds open takes none of the descriptors
// that the rest of the process shares. When the file is needed, it is opened through the keeper's descriptor.
type keeper struct {
	max  int
	held int // number of descriptors; its user counts them
	tid  int
	work chan func() // the thread calls these; when the channel is closed, the thread ends, and its descriptors with it
}

// newKeeper starts a thread that can hold max descriptors.
func newKeeper(max int) (*keeper, error) {
	k := &keeper{max: max, work: make(chan func())}
	started := make(chan error)
	go k.run(started)
	return k, <-started
}

// run is the thread. It is never unlocked, so no other goroutine gets its table, and the thread ends with the
// goroutine.
func (k *keeper) run(started chan<- error) {
	runtime.LockOSThread()
	if k.tid = unix.Gettid(); k.tid == unix.Getpid() {
		// /proc/self/fd shows the table of the first thread. While that thread waits here, the goroutine gets
		// another.
		taken := make(chan error)
		go k.run(taken)
		err := <-taken
		runtime.UnlockOSThread()
		started <- err
		return
	}
	err := k.part()
	started <- err
	if err != nil {
		return
	}
	for job := range k.work {
		job()
	}
}

// part gives the calling thread a table of its own. It keeps two kinds of the process's descriptors: the standard
// files, because the Go runtime prints there, and those by which the runtime wakes its poller on any thread, because
// it would end the process without them.
func (k *keeper) part() error {
	kept, err := pollerFDs()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return fmt.Errorf("unshare the table of open files: %w", err)
	}
	first := uint(3)
	for _, fd := range append(kept, math.MaxInt32) {
		if uint(fd) < first {
			continue
		}
		if uint(fd) > first {
			if err := unix.CloseRange(first, uint(fd)-1, 0); err != nil {
				return fmt.Errorf("close files: %w", err)
			}
		}
		first = uint(fd) + 1
	}
	return nil
}

// pollerFDs returns the process's descriptors of the kinds that the runtime's poller uses, in ascending order.
func pollerFDs() ([]int, error) {
	timer := time.NewTimer(time.Hour) // by now the runtime has made the poller, at the latest for this timer
	defer timer.Stop()
	dir, err := beneath.Open(unix.AT_FDCWD, "/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("list open files: %w", err)
	}
	defer unix.Close(dir)
	var fds []int
	err = beneath.ReadDir(dir, func(e beneath.Entry) {
		target, _ := beneath.Readlink(dir, e.Name) // an error means that the descriptor was closed meanwhile
		isPoller := target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]"
		if fd, err := strconv.Atoi(e.Name); err == nil && isPoller {
			fds = append(fds, fd)
		}
	})
	slices.Sort(fds)
	return fds, err
}

func (k *keeper) do(job func()) {
	done := make(chan struct{})
	k.work <- func() { job(); close(done) }
	<-done
}

// hold opens the file behind fd, a descriptor of the process, once more in the keeper, and returns its number there.
func (k *keeper) hold(fd int) (number int, err error) {
	// The path that Reopen uses leads to the table of the process's first thread, whichever thread opens it.
	k.do(func() { number, err = sys.Reopen(fd, unix.O_PATH) })
	if err == nil {
		k.held++
	}
	return number, err
}

// open returns an O_PATH descriptor of the process for the keeper's descriptor number.
func (k *keeper) open(number int) (int, error) {
	path := fmt.Sprintf("/proc/self/task/%d/fd/%d", k.tid, number)
	return eintr.Retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
}

func (k *keeper) drop(number int) {
	k.do(func() { unix.Close(number) })
	k.held--
}

func (k *keeper) end() { close(k.work) }

// parked says where a descriptor is that the cache has no room for.
type parked struct {
	keeper *keeper
	number int
}

// parkLocked lets a keeper hold the file of h, to be fetched by key. It starts a keeper if all are full.
func (c *Cache) parkLocked(h *Handle, key Key) error {
	for _, k := range c.keepers {
		if k.held < k.max {
			return c.parkInLocked(k, h, key)
		}
	}
	k, err := newKeeper(c.Max)
	if err != nil {
		return err
	}
	c.keepers = append(c.keepers, k)
	return c.parkInLocked(k, h, key)
}

func (c *Cache) parkInLocked(k *keeper, h *Handle, key Key) error {
	number, err := k.hold(h.FD)
	if err == nil {
		c.parked[key] = parked{k, number}
	}
	return err
}

// fetchLocked opens the file that is parked under key; nil if there is none.
func (c *Cache) fetchLocked(key Key) *Handle {
	p, ok := c.parked[key]
	if !ok {
		return nil
	}
	fd, err := p.keeper.open(p.number)
	if errors.Is(err, unix.EMFILE) && c.idle.Len() > 0 {
		c.dropLocked(c.idle.Front().Value.(*Handle))
		fd, err = p.keeper.open(p.number)
	}
	if err != nil {
		return nil // the caller then tries to open the file by its names, and reports that error
	}
	h := &Handle{FD: fd, key: key, refs: 1}
	c.handles[key] = h
	c.shrinkLocked()
	return h
}

func (c *Cache) unparkLocked(key Key) {
	if p, ok := c.parked[key]; ok {
		delete(c.parked, key)
		p.keeper.drop(p.number)
	}
}
