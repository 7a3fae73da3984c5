package main

import (
	"strings"
	"testing"
)

// TestLongMessage wants the operation and the cause of an error whose path a container has made long, on one short line.
func TestLongMessage(t *testing.T) {
	path := strings.Repeat("/dé", 20_000)
	got := message("remove " + path + ": permission denied")
	if len(got) > maxMessage || !strings.HasPrefix(got, "remove /dé/dé") || !strings.HasSuffix(got, "/dé: permission denied") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	if strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("a character is cut in two: %s", got)
	}
	if short := "remove /d: permission denied"; message(short) != short {
		t.Errorf("%q has become %q", short, message(short))
	}
}
