package escape

import (
	"errors"
	"strings"
	"testing"
)

// TestLongMessage wants the operation and the cause of an error whose path a container has made long, on one short
// line.
func TestLongMessage(t *testing.T) {
	path := strings.Repeat("/dé", 20_000)
	got := Message("remove " + path + ": permission denied")
	if len(got) > maxMessage || !strings.HasPrefix(got, "remove /dé/dé") ||
		!strings.HasSuffix(got, "/dé: permission denied") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	if strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("a character is cut in two: %s", got)
	}
	if short := "remove /d: permission denied"; Message(short) != short {
		t.Errorf("%q has become %q", short, Message(short))
	}
}

// TestError wants errors on one line, without what a terminal obeys.
func TestError(t *testing.T) {
	err := errors.Join(errors.New("open a\x1b[31m"), errors.New("close b\u202e\n"))
	if got, want := Error(err), `open a\x1b[31m; close b\u202e`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
