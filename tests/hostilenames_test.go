package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHostileNames gives names of containers and images that lead to other directories, or that a terminal obeys, to
// all commands that take one. None finds, makes or removes anything.
func TestHostileNames(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "c1", "--network", "none", "bb", "true")
	outside := u.path("home", "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	id := u.run("inspect", "-f", "{{.Id}}", "c1")
	before := u.filesBelow("home")
	verbs := map[string][]string{
		"create --name": {"create", "--name", "NAME", "bb"}, "run --name": {"run", "--name", "NAME", "bb", "true"},
		"rename": {"rename", "c1", "NAME"},
		"start":  {"start", "NAME"}, "stop": {"stop", "NAME"}, "kill": {"kill", "NAME"}, "rm": {"rm", "NAME"},
		"logs": {"logs", "NAME"}, "inspect": {"inspect", "NAME"},
		"exec": {"exec", "NAME", "true"}, "wait": {"wait", "NAME"}, "diff": {"diff", "NAME"},
		"export": {"export", "NAME"}, "commit": {"commit", "NAME"},
		"image": {"create", "NAME"}, "rmi": {"rmi", "NAME"}, "tag": {"tag", "bb", "NAME"}, "save": {"save", "NAME"},
		"import":    {"import", os.DevNull, "NAME"},
		"commit to": {"commit", "c1", "NAME"}, "history": {"history", "NAME"},
		"image inspect": {"image", "inspect", "NAME"}, "pull": {"pull", "NAME"},
	}
	up := strings.Repeat("../", 12)
	names := []string{"../c1", up + outside, "/", "..", ".", "", " ", "a\nb", "a\x1b[31mb", "../containers/" + id,
		strings.Repeat("a", 600)}
	for verb, args := range verbs {
		if verb == "rename" && u.try("rename", "--help").code != 0 {
			continue // there is no such command
		}
		// Each verb meets some of the names, and all verbs together all of them, many times.
		for i, name := range names {
			if (i+len(verb))%3 > 0 || name == "" && strings.HasSuffix(verb, "--name") {
				continue // an empty name of a new container is none
			}
			args := slices.Clone(args)
			args[slices.Index(args, "NAME")] = name
			r := u.try(args...)
			if r.code == 0 || len(r.stderr) > 6000 || strings.Contains(r.stdout, id) {
				t.Errorf("%q: exit code %d, printed %.200q\n%.300s", args, r.code, r.stdout, r.stderr)
			}
		}
	}
	u.prints("c1", "ps", "-a", "--format", "{{.Names}}")
	if after := u.filesBelow("home"); !slices.Equal(after, before) {
		t.Errorf("there were %d files and are %d", len(before), len(after))
	}
}

// filesBelow lists the user's files below a directory but those that any command may make.
func (u *user) filesBelow(dir string) (found []string) {
	u.t.Helper()
	err := filepath.WalkDir(u.path(dir), func(path string, _ os.DirEntry, err error) error {
		if !strings.Contains(path, "lock") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return found
}
