package engine

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/moby/moby/api/types/container"
)

func makeRecord(t *testing.T, e *Engine, id, name string, status Status) *Container {
	t.Helper()
	c := &Container{ID: id, Name: name, dirs: e.Dirs, State: State{Status: status},
		Config: Config{Cmd: []string{"true"}}}
	if err := os.Mkdir(c.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.write(), e.Dirs.reserveName(t.Context(), name, id)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLookup(t *testing.T) {
	e := &Engine{Dirs: testDirs(t)}
	one, two := "abc"+strings.Repeat("1", 61), "abd"+strings.Repeat("2", 61)
	makeRecord(t, e, one, "one", Exited)
	makeRecord(t, e, two, "two", Created)
	for ref, want := range map[string]string{"one": one, one: one, "abc": one, "abd2": two, two[:12]: two} {
		if c, err := e.Lookup(t.Context(), ref); err != nil || c.ID != want {
			t.Errorf("Lookup(%s) = %v, %v", ref, c, err)
		}
	}
	_, err := e.Lookup(t.Context(), "ab")
	if err == nil || !strings.Contains(err.Error(), one) || !strings.Contains(err.Error(), two) {
		t.Errorf("an ambiguous prefix: %v, want both candidates", err)
	}
	for _, ref := range []string{"", "three", "f", "../one", "one/"} {
		if _, err := e.Lookup(t.Context(), ref); !errdefs.IsNotFound(err) {
			t.Errorf("Lookup(%q): %v", ref, err)
		}
	}
}

// A container whose state says that it runs is running if, and only if, somebody holds its lock.
func TestRunningIsDerived(t *testing.T) {
	e := &Engine{Dirs: testDirs(t)}
	id := strings.Repeat("c", 64)
	c := makeRecord(t, e, id, "gone", Running)
	found, err := e.Lookup(t.Context(), "gone")
	if err != nil || found.State.Status != Exited || found.State.ExitCode != killedExit {
		t.Errorf("without a monitor: %+v, %v", found, err)
	}
	held, err := newLock(c.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	found, err = e.Lookup(t.Context(), "gone")
	if err != nil || found.State.Status != Running {
		t.Errorf("with a monitor: %+v, %v", found, err)
	}
	if _, err := c.tryLock(); !errors.Is(err, errLocked) {
		t.Errorf("the lock was taken twice: %v", err)
	}
}

func TestBrokenRecordHidesNoOther(t *testing.T) {
	e := &Engine{Dirs: testDirs(t)}
	makeRecord(t, e, strings.Repeat("a", 64), "good", Exited)
	bad := makeRecord(t, e, strings.Repeat("b", 64), "bad", Exited)
	makeRecord(t, e, strings.Repeat("c", 64), "liar", Exited)
	if err := os.WriteFile(bad.path(stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	liar := e.Dirs.Container(strings.Repeat("c", 64))
	text, err := os.ReadFile(liar + "/" + configFile)
	if err == nil {
		err = os.WriteFile(liar+"/"+configFile, []byte(strings.ReplaceAll(string(text), "ccc", "ddd")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	list, broken, err := e.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "good" || len(broken) != 2 {
		t.Errorf("got %d containers, broken %v, %v", len(list), broken, err)
	}
}

func TestParseBind(t *testing.T) {
	b, err := parseBind("/a:/b/../c:ro,Z")
	if err != nil || b.source != "/a" || b.target != "/c" || strings.Join(b.options, ",") != "rbind,rprivate,ro" {
		t.Errorf("got %+v, %v", b, err)
	}
	for _, bad := range []string{"", "/a", "a:/b", "/a:b", "/a:/", "/a:/b:odd", "/a:/b:ro:rw", ":/b", "/a:"} {
		if b, err := parseBind(bad); err == nil {
			t.Errorf("parseBind(%q) = %+v", bad, b)
		}
	}
	twice := container.HostConfig{Binds: []string{"/a:/x"}, Tmpfs: map[string]string{"/x/": ""}}
	err = validateMounts(&HostConfig{HostConfig: twice})
	if err == nil || err.Error() != "duplicate mount point '/x'" {
		t.Errorf("a bind and a tmpfs on one path: %v", err)
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]int{"9": 9, "KILL": 9, "sigterm": 15, "SIGRTMIN": 34} {
		if got, err := ParseSignal(text); err != nil || int(got) != want {
			t.Errorf("ParseSignal(%s) = %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "0", "65", "-1", "SIGNOPE"} {
		if got, err := ParseSignal(bad); err == nil {
			t.Errorf("ParseSignal(%s) = %d", bad, got)
		}
	}
}
