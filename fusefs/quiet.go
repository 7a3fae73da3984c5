package fusefs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// A container decides how often its requests fail, and chooses the names in messages about that. So only a bounded
// number of messages of one kind pass in a period, and long names are cut.
const (
	quietPeriod = time.Minute
	// loudest bounds the messages of one kind that pass in a period.
	loudest = 10
	// longestText bounds a message and each of its attributes, in bytes.
	longestText = 400
)

// quiet is a log handler that passes on a bounded number of messages.
type quiet struct {
	slog.Handler
	kinds *messageKinds
}

// messageKinds counts messages by kind. There are no more kinds than operations times errnos.
type messageKinds struct {
	mu    sync.Mutex
	kinds map[messageKind]*messageCount
}

// messageKind is the request that failed, and the error.
type messageKind struct {
	op    string
	errno syscall.Errno
}

type messageCount struct {
	since  time.Time // when the period began
	passed int
	left   int // left out since the last one that passed
}

func newQuiet(to slog.Handler) *quiet {
	return &quiet{to, &messageKinds{kinds: map[messageKind]*messageCount{}}}
}

// Handle passes a message on, unless there were too many of its kind. The next message that passes says how many were
// left out.
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

// count tells whether a message passes, and how many of its kind were left out before it. A lack of descriptors
// passes once in a period, whichever operation meets it.
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

// cut leaves out the middle of a long text, because the end says most.
func cut(text string) string {
	if len(text) <= longestText {
		return text
	}
	const half = longestText / 2
	return text[:half] + "..." + text[len(text)-half:]
}
