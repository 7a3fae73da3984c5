package tests

import (
	"os"
	"testing"
)

// TestRunDirectoryGone takes the run directory away from running containers, as the end of a login session does:
// commands reach them all the same, and the network comes back.
func TestRunDirectoryGone(t *testing.T) {
	u := newUserWithImage(t)
	for _, name := range []string{"stopped", "killed", "waited", "used"} {
		u.run("run", "-d", "--name", name, "bb", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
	}
	if err := os.RemoveAll(u.path("run")); err != nil {
		t.Fatal(err)
	}
	check := func() {
		u.prints("in", "exec", "used", "echo", "in")
		u.run("stop", "stopped")
		u.run("kill", "killed")
		u.run("kill", "-s", "TERM", "waited")
		for name, code := range map[string]string{"stopped": "7", "killed": "137", "waited": "7"} {
			u.prints(code, "wait", name)
		}
		for name, code := range map[string]int{"stopped": 7, "killed": 137, "waited": 7} {
			if c := u.inspect(name); c.State.Running || c.State.ExitCode != code {
				t.Errorf("%s: %+v", name, c.State)
			}
			u.run("start", name)
		}
	}
	check()
	u.setenv("XDG_RUNTIME_DIR", "")
	check()
	u.killSlirp()
	u.run("rm", "-f", "used", "stopped", "killed", "waited")
	u.noLeftovers()
}

// TestRemoveUnstarted removes a container that never ran, and so has no run directory: nothing else goes.
func TestRemoveUnstarted(t *testing.T) {
	u := newUserWithImage(t)
	if err := os.WriteFile(u.path("home", "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"c1", "c2"} {
		u.run("create", "--name", name, "bb")
	}
	u.run("rm", "c1")
	u.run("container", "prune", "-f")
	if _, err := os.Stat(u.path("home", "mine")); err != nil {
		t.Error("a file in the working directory of rm is gone")
	}
	u.prints("", "ps", "-aq")
}
