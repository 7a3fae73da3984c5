package architecture

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	goFile = regexp.MustCompile(`^(bench|cmd|docs|engine|examples|` +
		`fusefs|internal|layers|rootless|runtime|scripts|tests|unionmount)(/[a-zA-Z0-9_.]+)*$`)
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

// checkNames checks that the files, packages, functions and tests are there that a document names in backquotes. A test
// is in the package that was named last on its line, and anywhere where none was. Functions follow their file and a
// colon.
func checkNames(t *testing.T, document, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		dir, file, end := "", "", 0
		for _, at := range quoted.FindAllStringSubmatchIndex(line, -1) {
			name, between := line[at[2]:at[3]], line[end:at[0]]
			end = at[1]
			follows := file != "" && (between == ": " || between == ", ")
			switch {
			case goFile.MatchString(name):
				if file = ""; checkFile(t, document, name) {
					dir = name
				} else {
					file = name
				}
			case follows && !hasFunction(t, file, name):
				t.Errorf("%s names %s of %s, which is not there: correct it", document, name, file)
			case testName.MatchString(name) && !hasTest(t, dir, name):
				t.Errorf("%s names %s of %q, which is not there: correct it", document, name, dir)
			}
		}
	}
}

// checkFile checks that a file or directory is there that a document names, and tells whether it is a directory.
func checkFile(t *testing.T, document, name string) bool {
	t.Helper()
	info, err := os.Stat(filepath.Join(root, name))
	if err != nil {
		t.Errorf("%s names %s, which is not there: correct it", document, name)
		return false
	}
	return info.IsDir()
}

// hasTest tells whether a package, or any with "", has a test.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	return slices.ContainsFunc(sources(t), func(s source) bool {
		return s.isTest() && (dir == "" || s.dir() == dir) && strings.Contains(s.text, "\nfunc "+name+"(t *testing.T)")
	})
}

// hasFunction tells whether a file has a function or a method.
func hasFunction(t *testing.T, path, name string) bool {
	t.Helper()
	return slices.ContainsFunc(sources(t), func(s source) bool {
		return s.path == path && slices.ContainsFunc(s.file.Decls, func(decl ast.Decl) bool {
			f, ok := decl.(*ast.FuncDecl)
			return ok && f.Name.Name == name
		})
	})
}
