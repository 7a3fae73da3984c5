package engine

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/stage"
	"github.com/rcrun/rcrun/rootless"
)

// TestMain lets the test's program be executed as the processes of containers.
func TestMain(m *testing.M) {
	stages := Stages()
	stages[EraseStage] = func() int {
		return EraseMain(func(dirs Dirs) (*Engine, io.Closer, error) {
			e, err := New(dirs)
			e.OpenStore = func(context.Context) (Store, error) { return &fakeStore{}, nil }
			return e, io.NopCloser(nil), err
		})
	}
	if code, ok := stage.Run(stages, os.Args[0]); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// busyboxRoot makes a root directory with the programs of busybox that the tests use.
func busyboxRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != "/tmp"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755) // so that every user of the container has a way to it
	}
	for _, dir := range []string{"bin", "etc", "proc", "sys", "dev", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("no static busybox, which scripts/setup installs: %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "sleep", "echo", "cat", "stty", "true"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// created makes a container that runs a shell script in a directory of the host, without a network. The processes of
// containers are this test's program.
func created(t *testing.T, script string, change func(*CreateOptions)) (*Engine, *Container) {
	t.Helper()
	if err := rootless.RequireUserNamespaces(); err != nil {
		t.Fatal(err)
	}
	e := engineOn(t, &fakeStore{})
	options := CreateOptions{Config: Config{Cmd: []string{"sh", "-c", script}},
		HostConfig: HostConfig{Rootfs: busyboxRoot(t)}}
	options.HostConfig.NetworkMode = networkNone
	if change != nil {
		change(&options)
	}
	if err := options.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := e.Create(t.Context(), options, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Remove(context.Background(), c.ID, true); err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("remove: %v", err)
		}
	})
	return e, c
}

// started is created, and started without streams.
func started(t *testing.T, script string, change func(*CreateOptions)) (*Engine, *Container) {
	t.Helper()
	e, c := created(t, script, change)
	session, err := e.Start(t.Context(), c, Streams{}, WinSize{})
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	return e, c
}

// sink is an output of a session, and what was written to it.
type sink struct {
	file *os.File
	text chan string
}

func newSink(t *testing.T) *sink {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{file: write, text: make(chan string, 1)}
	go func() {
		defer read.Close()
		var all bytes.Buffer
		io.Copy(&all, read)
		s.text <- all.String()
	}()
	return s
}

// all waits for all writers to close, and returns what they wrote.
func (s *sink) all() string {
	s.file.Close()
	return <-s.text
}

// soon waits until a condition holds.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited until %s", what)
		}
	}
}

// ended waits for the end of a session.
func ended(t *testing.T, s *Session) Exit {
	t.Helper()
	defer s.Close()
	exit, err := s.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// contains wants text to have all parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %q", part, text)
		}
	}
}
