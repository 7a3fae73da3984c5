package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestNewerRecord meets a container that a newer version made, with a limit that this one cannot keep.
func TestNewerRecord(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("create", "--name", "newer", "bb", "true")
	path := u.path("home", ".local/share/rcrun/containers", id, "hostconfig.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(text), "{", `{"LimitOfTomorrow": 7,`, 1)
	if err := os.WriteFile(path, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(125, []string{"LimitOfTomorrow", path}, "start", "newer")
	u.prints("newer", "ps", "-a", "--format", "{{.Names}}")
	u.prints("newer", "rm", "newer")
}

// TestRecordOfLaterVersion meets a container whose state only a newer version reads rightly.
func TestRecordOfLaterVersion(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("create", "--name", "later", "bb", "true")
	path := u.path("home", ".local/share/rcrun/containers", id, "state.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	later := strings.Replace(string(text), `"Version": 2`, `"Version": 3`, 1)
	if err := os.WriteFile(path, []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(125, []string{"later", "version 3", "start the container with"}, "start", "later")
	if kept, err := os.ReadFile(path); err != nil || string(kept) != later {
		t.Errorf("the state is %s, %v", kept, err)
	}
	u.prints("later", "ps", "-a", "--format", "{{.Names}}")
	u.prints("later", "rm", "later")
}

// TestLostRecord loses the configuration of a container: the next create does not take its data for the leftovers of a
// killed one, and what is lost is told of.
func TestLostRecord(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "--network", "none", "bb", "sh", "-c", "echo kept >/file")
	id := u.run("inspect", "-f", "{{.Id}}", "c1")
	dir := u.path("home", ".local/share/rcrun/containers", id)
	config, aside := dir+"/config.v2.json", u.path("home", "aside")
	if err := os.Rename(config, aside); err != nil {
		t.Fatal(err)
	}
	u.run("run", "--rm", "--network", "none", "bb", "true")
	contains(t, u.try("ps", "-a").stderr, config)
	u.fails(125, []string{config}, "inspect", "c1")
	check := u.try("store", "check")
	contains(t, check.stdout, config)
	if check.code == 0 {
		t.Error("the check finds nothing wrong")
	}
	if err := os.Rename(aside, config); err != nil {
		t.Fatal(err)
	}
	contains(t, u.run("diff", "c1"), "A /file")
	u.run("rm", "c1")
}

// TestMonitorLogIsBounded writes to what the filesystem server's messages go to, far more than the log may keep of
// them.
func TestMonitorLogIsBounded(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	servers := u.processes("rcrun-fuse")
	if len(servers) != 1 {
		t.Fatalf("the servers are %v", servers)
	}
	log, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", servers[0].pid), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const written, most = 8 << 20, 2 << 20
	line := []byte(strings.Repeat("x", 999) + "\n")
	for range written / len(line) {
		if _, err := log.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	log.Close()
	u.prints("alive", "exec", "c1", "echo", "alive")
	u.run("stop", "-t", "0", "c1")
	var kept int64
	for _, name := range []string{"monitor.log", "monitor.log.1"} {
		info, err := os.Stat(u.path("home", ".local/share/rcrun/containers", id, name))
		if err != nil {
			t.Fatal(err)
		}
		kept += info.Size()
	}
	if kept > most || kept < most/4 {
		t.Errorf("of %d bytes %d are kept", written, kept)
	}
}
