package tests

import (
	"strings"
	"testing"
)

// limited prepares "rcrun ARGS" under a limit that ulimit sets, soft and hard.
func (u *user) limited(limit string, args ...string) result {
	u.t.Helper()
	return u.finish(u.command("sh", append([]string{"-c", "ulimit " + limit + ` && exec "$0" "$@"`, u.path("rcrun")},
		args...)...))
}

// TestOpenFilesOfEachProcess has programs keep more removed files open together than one process may have open: the
// limit is each program's own.
func TestOpenFilesOfEachProcess(t *testing.T) {
	u := newUserWithImage(t)
	const programs = 6
	args := append(append([]string{"run", "-d", "--name", "many"}, insider("hold")...), "--entrypoint", "sh", "bb",
		"-c",
		"for i in 1 2 3 4 5 6; do /insider 300 & done; wait; echo all")
	u.succeeded(u.limited("-n 1024", args...))
	count := func(word string) int { return strings.Count(u.run("logs", "many")+"\n", word+" 300\n") }
	eventually(t, "every program has its files", func() bool {
		return count("holds") == programs ||
			strings.Contains(u.run("logs", "many"), "too many")
	})
	u.run("exec", "many", "killall", "-USR1", "insider")
	u.prints("0", "wait", "many")
	if count("has") != programs {
		t.Errorf("not every program has its files:\n%s", u.run("logs", "many"))
	}
	u.run("rm", "many")
}

// TestLowLimits runs containers under limits of the caller's: they run, or one sentence says which limit to raise.
func TestLowLimits(t *testing.T) {
	u := newUserWithImage(t)
	for _, limit := range []string{"-n 64", "-n 100", "-n 256", "-n 300", "-f 1000", "-c 0", "-l 0"} {
		r := u.limited(limit, "run", "--rm", "bb", "sh", "-c", "echo x >/f && cat /f")
		if u.succeeded(r) != "x" || r.stderr != "" {
			t.Errorf("ulimit %s: %+v", limit, r)
		}
	}
	for limit, part := range map[string]string{"-n 40": "ulimit -n) to 64", "-n 16": "ulimit -n", "-f 0": "ulimit -f",
		"-v 300000": "ulimit -v) to 2097152", "-v 600000": "ulimit -v) to 2097152",
		"-v 1000000": "ulimit -v) to 2097152"} {
		u.failed(u.limited(limit, "run", "--rm", "bb", "true"), 125, part)
	}
	u.prints("", "ps", "-aq")
}
