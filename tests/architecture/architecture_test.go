// Package architecture holds the packages of the module to who may know whom, and to what none of them may do. It only
// reads the sources.
package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/rcrun/rcrun/"
	root   = "../.." // of the module, from this package
)

// source is a parsed file of the module.
type source struct {
	path    string // relative to the module
	file    *ast.File
	imports []string
}

func (s source) dir() string   { return filepath.Dir(s.path) }
func (s source) isTest() bool  { return strings.HasSuffix(s.path, "_test.go") }
func (s source) top() string   { return strings.Split(s.path, "/")[0] }
func (s source) command() bool { return s.file.Name.Name == "main" }

// sources parses every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := source{path: strings.TrimPrefix(filepath.ToSlash(path), root+"/"), file: file}
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
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// reaches returns the packages of the module that the package in dir imports, directly or not, without its tests.
func reaches(all []source, dir string) []string {
	var found []string
	queue := []string{dir}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		for _, s := range all {
			if s.dir() != next || s.isTest() {
				continue
			}
			for _, imported := range s.imports {
				if name, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(found, name) {
					found = append(found, name)
					queue = append(queue, name)
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// TestImportGraph holds the packages to who may know whom.
func TestImportGraph(t *testing.T) {
	all := sources(t)
	for _, dir := range []string{"layers", "unionmount", "fusefs", "runtime", "rootless", "engine", "engine/layered", "cmd/rcrun",
		stageProgram, filesystemProgram} {
		if !slices.ContainsFunc(all, func(s source) bool { return s.dir() == dir }) {
			t.Errorf("there is no package %s; this test is out of date", dir)
		}
	}
	encoding := []string{"internal/layerfmt", "internal/layerindex", "internal/xattrlog"}
	files := []string{"internal/filecopy", "internal/beneath", "internal/rmtree", "internal/eintr"}
	for _, shared := range reaches(all, "layers") {
		if slices.Contains(reaches(all, "unionmount"), shared) && !slices.Contains(append(files, encoding...), shared) {
			t.Errorf("layers and unionmount share %s; all they may share is the on-disk encoding, and how to work on files", shared)
		}
	}
	for dir, banned := range map[string][]string{
		"layers":     {"unionmount", "fusefs", "runtime", "rootless", "engine"},
		"unionmount": {"layers", "fusefs", "runtime", "rootless", "engine"},
		"fusefs":     {"layers", "runtime", "rootless", "engine"},
		"runtime":    {"layers", "unionmount", "fusefs", "rootless", "engine"},
		"rootless":   {"layers", "unionmount", "fusefs", "runtime", "engine"},
		"engine":     {"layers"},

		"engine/events": {"layers", "unionmount", "fusefs", "runtime", "rootless", "engine"},
	} {
		for _, name := range reaches(all, dir) {
			if slices.Contains(banned, name) {
				t.Errorf("%s imports %s", dir, name)
			}
		}
	}
	for _, s := range all {
		for _, imported := range s.imports {
			if strings.HasPrefix(imported, "github.com/hanwen/go-fuse/") && s.top() != "fusefs" && !s.isTest() {
				t.Errorf("%s imports %s; only fusefs speaks the FUSE protocol", s.path, imported)
			}
			if strings.HasPrefix(imported, module+"cmd/") {
				t.Errorf("%s imports a command", s.path)
			}
		}
	}
}

// stageProgram is the small program that a container's processes are.
const stageProgram = "cmd/rcrun/stage"

// filesystemProgram is the package whose Main is a whole program: one that is called like fuse-overlayfs.
const filesystemProgram = "internal/fuseoverlay"

// TestFilesystemStandsAlone checks that a program of the filesystem can be linked without the engine of containers.
func TestFilesystemStandsAlone(t *testing.T) {
	parts := reaches(sources(t), filesystemProgram)
	for _, part := range parts {
		switch top, _, _ := strings.Cut(part, "/"); top {
		case "fusefs", "unionmount", "internal":
		default:
			t.Errorf("the program of the filesystem has %s", part)
		}
	}
	if !slices.Contains(parts, "fusefs/mounted") {
		t.Errorf("this test is out of date: the program of the filesystem has only %q", parts)
	}
}

// heavy are modules that cost a process more at its start than all else that it does until it works.
var heavy = []string{"go.podman.io/", "github.com/spf13/", "google.golang.org/", "github.com/docker/distribution", "github.com/klauspost/"}

// TestStageProgramStaysSmall holds the program of a container's processes to what they need.
func TestStageProgramStaysSmall(t *testing.T) {
	all := sources(t)
	parts := append(reaches(all, stageProgram), stageProgram)
	for _, part := range parts {
		if part == "layers" || strings.HasPrefix(part, "layers/") {
			t.Errorf("the program of stages has %s", part)
		}
	}
	for _, s := range all {
		if s.isTest() || !slices.Contains(parts, s.dir()) {
			continue
		}
		for _, imported := range s.imports {
			if slices.ContainsFunc(heavy, func(prefix string) bool { return strings.HasPrefix(imported, prefix) }) {
				t.Errorf("%s imports %s, which the program of stages then has", s.path, imported)
			}
		}
	}
	if !slices.Contains(parts, "engine") || !slices.Contains(parts, "fusefs") {
		t.Errorf("this test is out of date: the program of stages has only %q", parts)
	}
}

// TestBannedCalls looks for calls that end the process where a caller could handle an error.
func TestBannedCalls(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch name := callee(call); {
			case name == "panic":
				t.Errorf("%s calls panic", s.path)
			case (name == "os.Exit" || strings.HasPrefix(name, "log.Fatal")) && !s.command():
				t.Errorf("%s calls %s; only commands end the process", s.path, name)
			}
			return true
		})
	}
}

// callee returns the name of a called function as it is written: "panic", "os.Exit".
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if pkg, ok := f.X.(*ast.Ident); ok {
			return pkg.Name + "." + f.Sel.Name
		}
	}
	return ""
}
