package architecture

import (
	"slices"
	"strings"
	"testing"
)

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
			t.Errorf("the program of the filesystem has %s: it must not need more than the filesystem", part)
		}
	}
	if !slices.Contains(parts, "fusefs/mounted") {
		t.Errorf("this test is out of date: the program of the filesystem has only %q", parts)
	}
}

// heavy are modules that cost a process more at its start than all else that it does until it works.
var heavy = []string{"go.podman.io/", "github.com/spf13/", "google.golang.org/", "github.com/docker/distribution",
	"github.com/klauspost/"}

// TestStageProgramStaysSmall holds the program of a container's processes to what they need.
func TestStageProgramStaysSmall(t *testing.T) {
	all := sources(t)
	parts := append(reaches(all, stageProgram), stageProgram)
	for _, part := range parts {
		if part == "layers" || strings.HasPrefix(part, "layers/") {
			t.Errorf("the program of stages has %s: containers must start without the libraries of images", part)
		}
	}
	for _, s := range all {
		if s.isTest() || !slices.Contains(parts, s.dir()) {
			continue
		}
		for _, imported := range s.imports {
			if slices.ContainsFunc(heavy, func(prefix string) bool { return strings.HasPrefix(imported, prefix) }) {
				t.Errorf("%s imports %s, which makes the program of stages start later: do without", s.path, imported)
			}
		}
	}
	if !slices.Contains(parts, "engine") || !slices.Contains(parts, "fusefs") {
		t.Errorf("this test is out of date: the program of stages has only %q", parts)
	}
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
