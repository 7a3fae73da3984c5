package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Where Sources puts what programs work on, and how much of it there is.
const (
	sourcesGit    = sources + "/git"
	sourcesGo     = sources + "/go"
	sourcesPython = sources + "/python"
	goCache       = sources + "/go-cache"

	gitFiles      = 1000
	goPackages    = 30
	pythonModules = 500
)

// Sources fills dir, which it creates, with a layer to be laid over the tree: files for git, a Go module and Python
// modules.
func Sources(c Config, dir string) error {
	files := map[string]string{}
	for i := range c.count(gitFiles) {
		path := fmt.Sprintf("%s/%d/file-%d.txt", sourcesGit, i/100, i)
		files[path] = strings.Repeat(fmt.Sprintf("line of file %d\n", i), 50)
	}
	addGoModule(files, c.count(goPackages))
	addPythonModules(files, c.count(pythonModules))
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make sources: %w", err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("make sources: %w", err)
		}
	}
	return nil
}

// FillGoCache adds the compiled standard library, as far as the Go module needs it, to what Sources made in dir, so
// that a build compiles nothing but the module. It takes a while.
func FillGoCache(dir string) error {
	return command{args: []string{"go", "build", "fmt", "strings"}, dir: sourcesGo}.Run(dir)
}

// addGoModule adds a program that calls a function of each of its packages.
func addGoModule(files map[string]string, packages int) {
	var imports, calls strings.Builder
	for i := range packages {
		name := fmt.Sprintf("p%d", i)
		fmt.Fprintf(&imports, "import %q\n", "bench/"+name)
		fmt.Fprintf(&calls, "\tfmt.Println(%s.Name())\n", name)
		files[fmt.Sprintf("%s/%s/%s.go", sourcesGo, name, name)] = fmt.Sprintf(
			"package %s\n\nimport \"strings\"\n\nfunc Name() string { return strings.ToUpper(%q) }\n", name, name)
	}
	files[sourcesGo+"/go.mod"] = "module bench\n\ngo 1.21\n"
	files[sourcesGo+"/main.go"] = fmt.Sprintf("package main\n\nimport \"fmt\"\n%s\nfunc main() {\n%s}\n", &imports,
		&calls)
}

// addPythonModules adds modules in packages of 50, and one that imports them all.
func addPythonModules(files map[string]string, modules int) {
	var all strings.Builder
	for i := range modules {
		pkg := fmt.Sprintf("package%d", i/50)
		files[fmt.Sprintf("%s/%s/__init__.py", sourcesPython, pkg)] = ""
		files[fmt.Sprintf("%s/%s/module%d.py", sourcesPython, pkg, i)] = fmt.Sprintf("def name():\n    return %q\n",
			pkg)
		fmt.Fprintf(&all, "import %s.module%d\n", pkg, i)
	}
	files[sourcesPython+"/everything.py"] = all.String()
}

// programEnv is an environment in which programs use nothing of the user's own, and go uses no network.
func programEnv(root string) []string {
	return []string{
		"GOCACHE=" + filepath.Join(root, goCache), "GOFLAGS=-trimpath", "GOPROXY=off", "GOTOOLCHAIN=local",
		"GOWORK=off",
		"GOENV=off", "CGO_ENABLED=0", "GIT_CONFIG_NOSYSTEM=1", "PYTHONPATH=" + filepath.Join(root, sourcesPython),
	}
}

const gitScript = `
git init -q .
git add .
git -c user.name=bench -c user.email=bench@localhost -c gc.auto=0 commit -q -m everything
git status --short`

// pythonImports writes the compiled modules at the first start and reads them at the second.
const pythonImports = `
python3 -c "import everything"
python3 -c "import everything"`

// sqliteInserts commits every row by itself. It does not sync, because that would measure the disk.
func sqliteInserts(rows int) command {
	return command{args: []string{"python3", "-c", fmt.Sprintf(`
import sqlite3
db = sqlite3.connect("bench.db", isolation_level=None)
db.execute("PRAGMA synchronous=OFF")
db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
for i in range(%d):
    db.execute("INSERT INTO t (text) VALUES (?)", ("row %%d" %% i,))
db.close()`, rows)}}
}
