package architecture

import (
	"go/ast"
	"strings"
	"testing"
)

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
				t.Errorf("%s calls panic: return an error", s.path)
			case (name == "os.Exit" || strings.HasPrefix(name, "log.Fatal")) && !s.command():
				t.Errorf("%s calls %s; only commands end the process: return an error", s.path, name)
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
