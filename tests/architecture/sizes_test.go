package architecture

import (
	"cmp"
	"go/ast"
	"go/scanner"
	"go/token"
	"strings"
	"testing"
)

const (
	mostFiles   = 30  // of a package, without its tests
	mostLines   = 60  // of a function
	mostColumns = 120 // of a line, a tab being 4
)

// largePackages are those that may have more files, until their subjects are packages of their own. The numbers may
// only become smaller.
var largePackages = map[string]int{
	"cmd/rcrun": 48,
	"engine":    60,
	"runtime":   43,
}

// TestPackagesStaySmall has packages that a reader can know.
func TestPackagesStaySmall(t *testing.T) {
	count := map[string]int{}
	for _, s := range sources(t) {
		if !s.isTest() {
			count[s.dir()]++
		}
	}
	for dir, n := range count {
		if most := cmp.Or(largePackages[dir], mostFiles); n > most {
			t.Errorf("%s has %d files and may have %d: give one of its subjects a package of its own", dir, n, most)
		}
	}
}

// TestFunctionsStayShort has functions that fit on a screen.
func TestFunctionsStayShort(t *testing.T) {
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := s.fset.Position(f.Pos()).Line, s.fset.Position(f.End()).Line
			if n := to - from + 1; n > mostLines {
				t.Errorf("%s:%d: %s has %d lines and may have %d: make functions of its parts", s.path, from,
					f.Name.Name, n, mostLines)
			}
		}
	}
}

// TestLinesStayShort has lines of code and comments that fit side by side with a second file.
func TestLinesStayShort(t *testing.T) {
	for _, s := range sources(t) {
		if long := s.longLines(); len(long) > 0 {
			t.Errorf("%s: these lines are longer than %d columns (a tab is 4), break them: %d", s.path, mostColumns,
				long)
		}
	}
}

// longLines returns the numbers of the lines that are too long. A long string in backquotes (a script, say) is no code.
func (s source) longLines() []int {
	data := s.lineStrings()
	var long []int
	number := 0
	for line := range strings.Lines(s.text) {
		number++
		if len([]rune(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "    "))) > mostColumns &&
			!data[number] {
			long = append(long, number)
		}
	}
	return long
}

// lineStrings are the lines in strings in backquotes that go over several lines or take half of one.
func (s source) lineStrings() map[int]bool {
	found := map[int]bool{}
	fset := token.NewFileSet()
	file := fset.AddFile(s.path, -1, len(s.text))
	var scan scanner.Scanner
	scan.Init(file, []byte(s.text), nil, 0)
	for {
		pos, tok, literal := scan.Scan()
		if tok == token.EOF {
			return found
		}
		if tok == token.STRING && literal[0] == '`' &&
			(strings.Contains(literal, "\n") || len(literal) > mostColumns/2) {
			first := file.Line(pos)
			for i := range strings.Count(literal, "\n") + 1 {
				found[first+i] = true
			}
		}
	}
}
