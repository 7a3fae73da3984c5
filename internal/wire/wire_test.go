package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

func pair(t *testing.T) (*Conn, *Conn) {
	t.Helper()
	a, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	b, err := FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestMessageWithFiles(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	big := strings.Repeat("x", 3<<20) // more than a socket buffer holds
	go func() {
		a.Send("files", map[string]string{"big": big}, w)
		w.Close()
		a.Send("plain", 7)
	}()
	var body map[string]string
	files, err := b.Expect("files", &body, 1)
	if err != nil {
		t.Fatal(err)
	}
	if body["big"] != big {
		t.Errorf("body has %d bytes, want %d", len(body["big"]), len(big))
	}
	fmt.Fprint(files[0], "through")
	files[0].Close()
	if got, _ := io.ReadAll(r); string(got) != "through" {
		t.Errorf("read %q through the received file", got)
	}
	var n int
	if _, err := b.Expect("plain", &n, 0); err != nil || n != 7 {
		t.Errorf("got %d, %v", n, err)
	}
	a.Close()
	if _, err := b.Recv(); err != io.EOF {
		t.Errorf("after close: %v, want EOF", err)
	}
}

func TestExpectRefuses(t *testing.T) {
	a, b := pair(t)
	a.Send("other", nil)
	if _, err := b.Expect("this", nil, 0); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("message of another kind: %v", err)
	}
	a.Send("this", nil)
	if _, err := b.Expect("this", nil, 1); err == nil {
		t.Error("a missing file is accepted")
	}
	a.SendError("init", Errorf("init", "mount proc", "/proc", syscall.EPERM))
	_, err := b.Expect("this", nil, 0)
	if !errors.Is(err, syscall.EPERM) || err.Error() != "init: mount proc /proc: operation not permitted" {
		t.Errorf("error arrived as %v", err)
	}
}

func TestErrorfKeepsCause(t *testing.T) {
	_, cause := os.Open("/does/not/exist")
	if got := Errorf("sandbox", "open root", "/does/not/exist",
		cause).Error(); got != "sandbox: open root /does/not/exist: no such file or directory" {
		t.Errorf("got %q", got)
	}
	if got := Errorf("sandbox", "read spec", "", errors.New("odd")).Error(); got != "sandbox: read spec: odd" {
		t.Errorf("got %q", got)
	}
	inner := Errorf("init", "exec", "/bin/x", syscall.ENOENT)
	if got := Errorf("sandbox", "wait", "", fmt.Errorf("outer: %w", inner)); got != inner {
		t.Errorf("an error of an inner stage became %v", got)
	}
}
