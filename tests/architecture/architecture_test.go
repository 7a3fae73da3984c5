// Package architecture checks rules of the whole module: which package may import which, what no package may call, and
// how long packages, functions and lines may be. It only reads the sources.
//
// The rules are lists of what is allowed, so that a new package starts closed. What is older than a rule and breaks
// it is listed as an exception. These lists may only become shorter.
package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/rcrun/rcrun/"
	root   = "../.." // of the module, from this package
)

// source is a parsed file of the module.
type source struct {
	path    string // relative to the module
	text    string
	fset    *token.FileSet
	file    *ast.File
	imports []string
}

func (s source) dir() string   { return filepath.Dir(s.path) }
func (s source) isTest() bool  { return strings.HasSuffix(s.path, "_test.go") }
func (s source) top() string   { return strings.Split(s.path, "/")[0] }
func (s source) command() bool { return s.file.Name.Name == "main" }

// sources returns every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// parsed parses the files once for all tests.
var parsed = sync.OnceValues(parse)

func parse() (all []source, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{path: strings.TrimPrefix(filepath.ToSlash(path), root+"/"), text: string(text), fset: fset,
			file: file}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	return all, err
}
