package engine

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// TestJournalIsBounded has stages talk without end, beside the monitor.
func TestJournalIsBounded(t *testing.T) {
	c := logged(t)
	j, err := openJournal(c)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 1000) + "\n")
	for written := 0; written < 3*maxJournalFile; written += len(line) {
		if _, err := j.stages.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	slog.Error("said by the monitor")
	j.stages.Write(bytes.Repeat([]byte("y"), 100<<10))
	j.stages.WriteString("\nthe end\n")
	j.close()
	var all []byte
	for _, name := range []string{journalFile + oldSuffix, journalFile} {
		text, err := os.ReadFile(c.path(name))
		if err != nil || len(text) > maxJournalFile || len(text) == 0 {
			t.Errorf("%s has %d bytes, %v", name, len(text), err)
		}
		all = append(all, text...)
	}
	if !bytes.HasSuffix(all, []byte("\nthe end\n")) || !bytes.Contains(all, []byte("said by the monitor")) {
		t.Errorf("at the end is %.100q", all[max(0, len(all)-100):])
	}
}
