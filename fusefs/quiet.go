package fusefs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// A container chooses how often requests of its fail, and the names in messages about that. So of one kind of message
// only so many pass in a period, and long names are cut.
const (
	quietPeriod = time.Minute
	// loudest is how many messages of one kind pass in a period.
	loudest = 10
	// longestText bounds a message and each of its attributes, in bytes.
	longestText = 400
)

// quiet is a log handler that passes on only so much.
type quiet struct {
	slog.Handler
	kinds *messageKinds
}

// messageKinds counts what was logged. There are as many kinds as operations times errnos.
type messageKinds struct {
	mu    sync.Mutex
	kinds map[messageKind]*messageCount
}

// messageKind is what messages are counted by: the request that failed, and how.
type messageKind struct {
	op    string
	errno syscall.Errno
}

type messageCount struct {
	since  time.Time // when the period began
	passed int
	left   int // out, since the last that passed
}

func newQuiet(to slog.Handler) *quiet {
	return &quiet{to, &messageKinds{kinds: map[messageKind]*messageCount{}}}
}

// Handle passes a message on, unless there were too many of its kind; the next that passes says how many were left out.
func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	left, pass := q.kinds.count(kindOf(r), r.Time)
	if !pass {
		return nil
	}
	short := slog.NewRecord(r.Time, r.Level, cut(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		short.AddAttrs(slog.String(a.Key, cut(a.Value.String())))
		return true
	})
	if left > 0 {
		short.AddAttrs(slog.Int("left out", left))
	}
	return q.Handler.Handle(ctx, short)
}

func kindOf(r slog.Record) (kind messageKind) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "op" {
			kind.op = a.Value.String()
		}
		if err, ok := a.Value.Any().(error); ok {
			errors.As(err, &kind.errno)
		}
		return true
	})
	return kind
}

// WithAttrs is slog's; messages are counted together.
func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{q.Handler.WithAttrs(attrs), q.kinds}
}

// WithGroup is slog's; messages are counted together.
func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{q.Handler.WithGroup(name), q.kinds}
}

// count tells whether a message passes, and if so how many of its kind were left out before it. That there are too
// many open files is said once, whatever it keeps from being done.
func (m *messageKinds) count(kind messageKind, now time.Time) (left int, pass bool) {
	most := loudest
	if kind.errno == syscall.EMFILE || kind.errno == syscall.ENFILE {
		kind.op, most = "", 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.kinds[kind]
	if c == nil {
		c = &messageCount{since: now}
		m.kinds[kind] = c
	}
	if now.Sub(c.since) >= quietPeriod {
		c.since, c.passed = now, 0
	}
	if c.passed == most {
		c.left++
		return 0, false
	}
	c.passed++
	left, c.left = c.left, 0
	return left, true
}

// cut leaves out the middle of a long text: what is at its end tells most.
func cut(text string) string {
	if len(text) <= longestText {
		return text
	}
	const half = longestText / 2
	return text[:half] + "..." + text[len(text)-half:]
}
