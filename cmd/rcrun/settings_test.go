package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestWithFlags(t *testing.T) {
	for text, want := range map[string]string{
		"invalid HostConfig.Memory: the least limit is 6MB": "invalid --memory: the least limit is 6MB",
		"HostConfig.MemorySwap, HostConfig.NanoCpus are":    "--memory-swap, --cpus are",
		"leave out Config.User":                             "leave out --user",
		"HostConfig.UsernsMode=keep-id":                     "--userns=keep-id",
		"MyConfig.User, HostConfig.Unknown":                 "MyConfig.User, HostConfig.Unknown",
	} {
		if got := withFlags(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSettingsHaveFlags wants each flag to exist, and one for each setting that a text of the engine names.
func TestSettingsHaveFlags(t *testing.T) {
	flags := (&app{}).runCommand().Flags()
	for name, flag := range settingFlags {
		if word, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), " "); flags.Lookup(word) == nil {
			t.Errorf("%s: there is no %s", name, flag)
		}
	}
	for _, text := range engineTexts(t) {
		for _, name := range setting.FindAllString(text, -1) {
			if settingFlags[name] == "" {
				t.Errorf("%s names %s, which has no flag", text, name)
			}
		}
	}
}

// TestEngineNamesNoFlags wants texts of the engine not to tell of this command line: a caller may have another one.
func TestEngineNamesNoFlags(t *testing.T) {
	flag := regexp.MustCompile(`(?:^|[ "(])--?[a-z]+\b|\brcrun [a-z]+ -`)
	for _, text := range engineTexts(t) {
		if flag.MatchString(text) && !strings.Contains(text, "ulimit -") {
			t.Errorf("%s names a flag", text)
		}
	}
}

// engineTexts returns the texts in the sources of the engine.
func engineTexts(t *testing.T) (texts []string) {
	t.Helper()
	for _, pattern := range []string{"../../engine/*.go", "../../engine/layered/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources: %v", err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					texts = append(texts, literal.Value)
				}
				return true
			})
		}
	}
	return texts
}
