package events

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/events"
)

const (
	segmentSize = 1 << 20
	segments    = 8
)

// Journal is the events of one user.
type Journal struct {
	dir         string
	segmentSize int64
	segments    uint64 // that are kept

	// Warn is told once that an event could not be written. It is set before the journal is used; nil logs the error.
	Warn func(error)
	once sync.Once // of Warn

	patience time.Duration // for the lock
	stuck    atomic.Bool   // the lock was not to be had in this time, and has not been since
}

// New returns the journal in a directory, which the first writer makes: the one above it must exist.
func New(dir string) *Journal {
	return &Journal{dir: dir, segmentSize: segmentSize, segments: segments, patience: lockTime}
}

// Record writes an event of something that has been done, and that is not undone if the event cannot be written.
// Warn is told of the first such error.
func (j *Journal) Record(kind events.Type, action events.Action, actor events.Actor) {
	err := j.Append(events.Message{Type: kind, Action: action, Actor: actor, Scope: "local"})
	if err != nil {
		j.once.Do(func() { j.warn(err) })
	}
}

func (j *Journal) warn(err error) {
	if j.Warn == nil {
		slog.Warn("write an event", "error", err)
		return
	}
	j.Warn(err)
}

// Append writes a message with the time of now.
func (j *Journal) Append(message events.Message) error {
	if err := makeDir(j.dir); err != nil {
		return err
	}
	held, err := j.lock()
	if err != nil {
		return err
	}
	defer held.Close()
	now := time.Now()
	message.Time, message.TimeNano = now.Unix(), now.UnixNano()
	line, err := encode(message)
	if err != nil {
		return err
	}
	return j.write(line)
}
