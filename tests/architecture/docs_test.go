package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsAreTrue looks up what the documents name: files that they link to or mention, and tests.
func TestDocumentsAreTrue(t *testing.T) {
	documents, err := filepath.Glob(root + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(documents, more...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(path, root+"/")
		checkLinks(t, name, string(text))
		checkNames(t, name, string(text))
	}
}

var (
	link   = regexp.MustCompile(`\]\(([^)]+)\)`)
	quoted = regexp.MustCompile("`([^`\n]+)`")
	// goFile is a file or package of the module, as documents name it.
	goFile = regexp.MustCompile(`^(bench|cmd|docs|engine|examples|fusefs|internal|layers|rootless|runtime|scripts|tests|unionmount)` +
		`(/[a-zA-Z0-9_.]+)*$`)
	testName = regexp.MustCompile(`^Test[A-Z][A-Za-z0-9]*$`)
)

// checkLinks checks that the files are there that a document links to.
func checkLinks(t *testing.T, document, text string) {
	t.Helper()
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		target, _, _ := strings.Cut(found[1], "#")
		if target == "" || strings.Contains(target, "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, filepath.Dir(document), target)); err != nil {
			t.Errorf("%s links to %s, which is not there: correct the link", document, target)
		}
	}
}

// checkNames checks that the files, packages and tests are there that a document names in backquotes. A test is in the
// package that was named last on its line, and anywhere where none was.
func checkNames(t *testing.T, document, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		dir := ""
		for _, found := range quoted.FindAllStringSubmatch(line, -1) {
			switch name := found[1]; {
			case goFile.MatchString(name):
				if info, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Errorf("%s names %s, which is not there: correct it", document, name)
				} else if info.IsDir() {
					dir = name
				}
			case testName.MatchString(name) && !hasTest(t, dir, name):
				t.Errorf("%s names %s of %q, which is not there: correct it", document, name, dir)
			}
		}
	}
}

// hasTest tells whether a package, or any with "", has a test.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	for _, s := range sources(t) {
		if s.isTest() && (dir == "" || s.dir() == dir) && strings.Contains(s.text, "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}
