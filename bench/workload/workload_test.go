package workload

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tiny returns the smallest configuration, with its archive, and a directory that holds the tree.
func tiny(t *testing.T) (Config, string) {
	t.Helper()
	dir := t.TempDir()
	c := Config{Scale: 0.002, Archive: filepath.Join(dir, "tree.tar"), Owner: fmt.Sprintf("+%d:+%d", os.Getuid(),
		os.Getgid())}
	root := filepath.Join(dir, "root")
	if err := Tree(c, root); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-cf", c.Archive, "-C", root, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := Sources(c, root); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("go"); err == nil {
		if err := FillGoCache(root); err != nil {
			t.Fatal(err)
		}
	}
	return c, root
}

func TestVisitTree(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a/b/c", "d", "e/f"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := createFiles(filepath.Join(root, "d"), 100); err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 2, 8} {
		seen := make(chan string, 1000)
		err := visitTree(root, workers, func(path string, _ os.FileInfo) error { seen <- path; return nil })
		close(seen)
		unique := map[string]bool{}
		for path := range seen {
			if unique[path] {
				t.Errorf("%d workers: %s was visited twice", workers, path)
			}
			unique[path] = true
		}
		if want := 6 + 1 + 100; err != nil || len(unique) != want {
			t.Errorf("%d workers visited %d of %d, %v", workers, len(unique), want, err)
		}
	}
	err := visitTree(filepath.Join(root, "none"), 2, func(string, os.FileInfo) error { return nil })
	if !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("of a missing directory: %v", err)
	}
}

// Everything that a workload makes must not depend on into how many layers the tree is cut.
func TestLayersHoldTheSameTree(t *testing.T) {
	c := Config{Scale: 0.05}
	count := func(layers []string) map[string]int {
		seen := map[string]int{}
		for _, layer := range layers {
			err := visitTree(layer, 1, func(path string, info os.FileInfo) error {
				if !info.IsDir() {
					seen[strings.TrimPrefix(path, layer)]++
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return seen
	}
	for _, n := range []int{1, 16} {
		layers, err := Layers(c, t.TempDir(), "layer", n)
		if err != nil {
			t.Fatal(err)
		}
		seen := count(layers)
		if len(layers) != n || len(seen) != c.count(layeredFiles) {
			t.Errorf("%d layers hold %d files", len(layers), len(seen))
		}
		for name, times := range seen {
			if times != 1 {
				t.Errorf("%s is in %d layers", name, times)
			}
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range All(Config{Scale: 1}) {
		if seen[e.Name] {
			t.Errorf("two workloads are called %q", e.Name)
		}
		seen[e.Name] = true
	}
}

// Each workload does its work, and fails where it cannot.
func TestWorkloads(t *testing.T) {
	c, root := tiny(t)
	for _, e := range All(c) {
		t.Run(e.Name, func(t *testing.T) {
			if _, err := exec.LookPath(e.Needs); e.Needs != "" && err != nil {
				t.Skipf("the program that the workload measures is not installed: %v", err)
			}
			if e.Debian {
				t.Skip("it needs a real Debian and a user namespace: TestAptInstall of package filesystem runs it")
			}
			trial := prepare(t, c, e, root)
			if err := e.Setup(trial); err != nil {
				t.Fatal(err)
			}
			if err := e.Run(trial); err != nil {
				t.Fatal(err)
			}
			if err := e.Run(c.Archive); err == nil {
				t.Error("works also in what is no directory")
			}
			if err := os.RemoveAll(filepath.Join(trial, Scratch)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// prepare returns the directory to work on: the tree, or a copy that may be changed, or all of the layers in one.
func prepare(t *testing.T, c Config, e Entry, root string) string {
	t.Helper()
	trees := []string{root}
	if e.Layers > 0 {
		layers, err := Layers(c, t.TempDir(), "layer", e.Layers)
		if err != nil {
			t.Fatal(err)
		}
		trees = layers
	} else if !e.Changes {
		return root
	}
	trial := filepath.Join(t.TempDir(), "root")
	copyTrees(t, trial, trees...)
	return trial
}

func copyTrees(t *testing.T, target string, trees ...string) {
	t.Helper()
	for _, tree := range trees {
		if err := os.MkdirAll(target, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", tree+"/.", target).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}
