package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKillVerbs kills commands that change the store at random moments. Whatever is listed afterwards must be whole,
// and nothing may be left over; in the end the store is emptied, and nothing may remain.
func TestKillVerbs(t *testing.T) {
	u := newUser(t)
	u.killArchives()
	registry := u.startRegistry().host
	u.put(registry, "one:1", newPicture("one:1", busyboxTree(t), upperLayer(t)))
	commands := [][]string{
		{"import", "base.tar", "imported:1"},
		{"load", "-q", "-i", "one.tar"},
		{"load", "-q", "-i", "two.tar"},
		{"pull", "-q", registry + "/one:1"},
		{"create", "--name", "made", "one:1", "sh"},
		{"commit", "made", "committed:1"},
		{"tag", "one:1", "other:1"},
		{"rm", "-f", "made"},
		{"rmi", "-f", "one:1"},
		{"rmi", "-f", "imported:1", "committed:1", "two:1", "other:1"},
		{"system", "prune", "-af"},
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	source := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for n := range 110 {
		args := commands[n%len(commands)]
		if source.IntN(4) > 0 { // else it may come to its end, so that the others have something to work on
			killed += u.killed(time.Duration(source.IntN(60_000))*time.Microsecond, args...)
		} else {
			u.try(args...)
		}
		u.wholeStore(n%11 == 10)
		if t.Failed() {
			t.Fatalf("after step %d: %v", n, args)
		}
	}
	t.Logf("%d commands were killed", killed)
	u.run("system", "prune", "-af")
	u.isEmptyStore()
}

// killArchives makes what the commands bring in.
func (u *user) killArchives() {
	u.t.Helper()
	base := busyboxTree(u.t)
	for name, data := range map[string][]byte{
		"base.tar": base,
		"one.tar":  newPicture("one:1", base, upperLayer(u.t)).dockerArchive(u.t),
		"two.tar":  newPicture("two:1", base, pack(u.t, file("two", 0o644, "2"))).dockerArchive(u.t),
	} {
		if err := os.WriteFile(u.path("home", name), data, 0o600); err != nil {
			u.t.Fatal(err)
		}
	}
}

// killed runs a command and kills it after a while. It returns 1 if the command had not ended by then.
func (u *user) killed(after time.Duration, args ...string) int {
	u.t.Helper()
	cmd := u.cmd(args...)
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	time.Sleep(after)
	cmd.Process.Kill()
	if err := cmd.Wait(); err != nil && err.Error() == "signal: killed" {
		return 1
	}
	return 0
}

// wholeStore checks that everything listed is whole and nothing is left over, and with use that images can be used.
func (u *user) wholeStore(use bool) {
	u.t.Helper()
	names := u.run("images", "--format", "{{.ID}}")
	u.run("ps", "-aq")
	if r := u.try("store", "check"); r.code != 0 || r.stdout != "" {
		u.t.Errorf("store check: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if !use {
		return
	}
	u.prints("", "store", "check", "--deep")
	for _, id := range strings.Fields(names) {
		u.run("save", "-o", filepath.Join(u.path("home"), "saved.tar"), id)
		u.prints("works", "run", "--rm", "--network=none", id, "echo", "works")
	}
}

// TestKilledRemovalGoesOn kills nothing by chance: it leaves what a killed rmi leaves after it removed the image's
// record.
func TestKilledRemovalGoesOn(t *testing.T) {
	u := newUser(t)
	u.loadPicture("app:v1", busyboxTree(t), upperLayer(t))
	ids := u.run("layer", "ls", "--format", "{{.CacheID}}", "--no-trunc")
	storage := u.path("home/.local/share/rcrun/storage")
	note := filepath.Join(storage, "tmp", "KILLED", "removal")
	if err := os.Mkdir(filepath.Dir(note), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(note, []byte(ids), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run("images") // the image still has its layers
	u.checkLayers("app:v1")
	if err := os.MkdirAll(filepath.Dir(note), 0o700); err != nil {
		t.Fatal(err)
	}
	reversed := strings.Fields(ids)
	if err := os.WriteFile(note, []byte(fmt.Sprintf("%s\n%s\n", reversed[1], reversed[0])), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(storage, "fuse-images", "images.json"), []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.prints("", "store", "check")
	u.isEmptyStore()
}
