package posix

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// differences are what was found not to be as in a directory, by the cases. They are held to lists, testdata/KIND.txt
// for the kernel's overlay filesystem and testdata/union.txt for ours: lines that start with "# " say in one sentence
// why the cases below them differ. A case that differs in some kinds of unions only is preceded by their names,
// "KIND,KIND: "; one that differs only for root of the host, or only in a user namespace, by "root: " or "user: ".
type differences map[string][]string

func (d differences) add(name, text string) { d[inOneLine(name)] = append(d[inOneLine(name)], text) }

func inOneLine(name string) string { return strings.ReplaceAll(name, "\n", "; ") }

// foundEnv names a directory for lists of the cases that were found to differ.
const foundEnv = "RCRUN_POSIX_DIFFERENCES"

// check wants the differences of a kind to be those that are listed, and each to have a reason.
func (d differences) check(t *testing.T, kind string, k kind) {
	t.Helper()
	if dir := os.Getenv(foundEnv); dir != "" {
		must(t, os.WriteFile(filepath.Join(dir, kind), []byte(strings.Join(slices.Sorted(maps.Keys(d)), "\n")+"\n"),
			0o644))
	}
	list := "testdata/union.txt"
	if k.kernel {
		list = "testdata/" + kind + ".txt"
	}
	listed := readDifferences(t, list, kind)
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if !listed[name] {
			t.Errorf("%s: %s", name, strings.Join(d[name], "\n"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if listed[name] && d[name] == nil {
			t.Errorf("%s is in %s but does not differ", name, list)
		}
	}
}

// readDifferences returns the cases that a list has for a kind.
func readDifferences(t *testing.T, path, kind string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	listed, names, reason := map[string]bool{}, map[string]bool{}, false
	for name := range cases() {
		names[inOneLine(name)] = true
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "":
			reason = false
			continue
		case strings.HasPrefix(line, "# "):
			reason = true
			continue
		}
		kinds, name, limited := strings.Cut(line, ": ")
		if !limited || names[line] {
			kinds, name = kind, line
		}
		if !reason || !names[name] {
			t.Errorf("%s: %q has no reason or is no case", path, line)
		}
		for _, which := range strings.Split(kinds, ",") {
			listed[name] = listed[name] || which == kind || which == who()
		}
	}
	return listed
}

// who tells the root of the host from that of a user namespace.
func who() string {
	if os.Getenv(insideEnv) == "" {
		return "root"
	}
	return "user"
}

// needOverlay skips a test where the kernel does not let this user mount an overlay filesystem.
func needOverlay(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"l", "u", "w", "m"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	mount := exec.Command("mount", "-t", "overlay", "-o", "userxattr,lowerdir=l,upperdir=u,workdir=w", "overlay", "m")
	mount.Dir = dir
	if text, err := mount.CombinedOutput(); err != nil {
		t.Skipf("the kernel's overlay filesystem cannot be mounted here: %v: %s", err, text)
	}
	unmount(t, filepath.Join(dir, "m"))
}
