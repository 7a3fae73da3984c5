package fusefs

import (
	"sync"
	"sync/atomic"
	"time"
)

// Gate holds up the requests that change the filesystem while it is closed, so that the files on disk can be read in
// one state. Requests that only read go on, as long as not too many others wait. But the kernel makes a reader of
// data that is just being written wait for the writer. The zero value is open.
//
// It is used instead of stopping the processes of a container: processes that do not write notice nothing, no process
// shows as stopped, and no cgroup is needed.
type Gate struct {
	changes sync.RWMutex
	came    atomic.Uint64 // number of changes that came to the gate
}

const (
	// stillness is how long no change may come before the gate closes. mostPatience bounds how long Close waits for
	// that.
	stillness    = 50 * time.Millisecond
	mostPatience = time.Second
)

// Close returns when no change is under way any more. Only the caller of Close may call Open. Data that the kernel
// had only in memory it sends upon syncfs(2), which does not wait for the answers. So Close first waits until no
// change has come for a moment, unless the changes never cease.
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
