package tests

import (
	"strings"
	"testing"
)

// limited prepares "rcrun ARGS" under a limit that ulimit sets, soft and hard.
func (u *user) limited(limit string, args ...string) result {
	u.t.Helper()
	return u.finish(u.command("sh", append([]string{"-c", "ulimit " + limit + ` && exec "$0" "$@"`, u.path("rcrun")}, args...)...))
}

// TestOpenFilesOfEachProcess has programs keep more removed files open together than one process may have open: the limit
// is each program's own.
func TestOpenFilesOfEachProcess(t *testing.T) {
	u := newUserWithImage(t)
	const programs = 6
	args := append(append([]string{"run", "-d", "--name", "many"}, insider("hold")...), "--entrypoint", "sh", "bb", "-c",
		"for i in 1 2 3 4 5 6; do /insider 300 & done; wait; echo all")
	u.succeeded(u.limited("-n 1024", args...))
	count := func(word string) int { return strings.Count(u.run("logs", "many")+"\n", word+" 300\n") }
	eventually(t, "every program has its files", func() bool { return count("holds") == programs || strings.Contains(u.run("logs", "many"), "too many") })
	u.run("exec", "many", "killall", "-USR1", "insider")
	u.prints("0", "wait", "many")
	if count("has") != programs {
		t.Errorf("not every program has its files:\n%s", u.run("logs", "many"))
	}
	u.run("rm", "many")
}
