package fusefs

import (
	"sync"
	"sync/atomic"
	"time"
)

// Gate holds up the requests that change the filesystem while it is closed, so that what is on disk can be read in one
// state. Requests that only read go on, as long as not too many others wait; but the kernel has a reader of what is just
// being written wait for the writer. The zero value is open.
//
// It is there instead of stopping the processes: those that do not write notice nothing, nobody sees them stopped, and
// no cgroup is needed.
type Gate struct {
	changes sync.RWMutex
	came    atomic.Uint64 // how many changes did
}

const (
	// stillness is for how long no change has to come before the gate closes, and mostPatience how long that is waited for.
	stillness    = 50 * time.Millisecond
	mostPatience = time.Second
)

// Close returns when no change is under way any more. Only one who has closed the gate opens it. What the kernel had only in
// memory it sends upon syncfs(2), which does not wait for the answers: so nothing may have come for a moment, unless the
// changes never cease.
func (g *Gate) Close() {
	for before, end := g.came.Load(), time.Now().Add(mostPatience); time.Now().Before(end); {
		time.Sleep(stillness)
		now := g.came.Load()
		if now == before {
			break
		}
		before = now
	}
	g.changes.Lock()
}

// Open lets the requests that wait go on.
func (g *Gate) Open() { g.changes.Unlock() }

// enter waits until a request may be worked on. The caller calls leave after that. A nil gate is always open.
func (g *Gate) enter(opcode uint32) {
	if g != nil && mayChange(opcode) {
		g.came.Add(1)
		g.changes.RLock()
	}
}

func (g *Gate) leave(opcode uint32) {
	if g != nil && mayChange(opcode) {
		g.changes.RUnlock()
	}
}
