package tests

import (
	"os"
	"strings"
	"testing"
)

// TestReadme runs the commands of the README's first ten minutes, as they are there, up to those that need a registry.
func TestReadme(t *testing.T) {
	u := newUser(t)
	text := string(readFile(t, "../README.md"))
	_, text, found := strings.Cut(text, "\n## The first ten minutes\n")
	text, _, ends := strings.Cut(text, "\nWith a registry in reach")
	if !found || !ends {
		t.Fatal("the README has no first ten minutes, or they have no end")
	}
	script := "set -eux\n"
	for line := range strings.Lines(text) {
		command, shown := strings.CutPrefix(line, "    ")
		// The binary under test is built and in the PATH.
		if shown && !strings.HasPrefix(command, "make ") && !strings.HasPrefix(command, "export PATH=") {
			script += command
		}
	}
	u.setenv("PATH", u.dir+":"+os.Getenv("PATH"))
	r := u.finish(u.command("sh", "-c", script))
	if r.code != 0 || strings.Count(script, "\n") < 15 {
		t.Fatalf("exit code %d of\n%s\nwhich printed\n%s%s", r.code, script, r.stdout, r.stderr)
	}
	contains(t, r.stdout, "gone in here\n", "hello from inside\n", "started\n", "A /file\n", "kept\n",
		"Untagged: small:2\n")
	u.isEmptyStore()
}
