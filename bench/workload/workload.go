// Package workload holds the work that is done on a filesystem while the clock runs. It knows nothing of mounts: every
// workload works below a directory, the root of a tree that consists of Sources and an unpacked archive.
//
// The work is what people do with a container's root filesystem. Where the programs matter that they use for it (tar,
// rm, git, go, python), these programs do it. Where the program's own work would hide the filesystem's, plain system
// calls do it.
package workload

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Workload is one kind of work. Setup comes first and is not timed.
type Workload interface {
	Setup(root string) error
	Run(root string) error
}

// Entry is a Workload in the list of them.
type Entry struct {
	Name  string
	Group string // of workloads of a kind
	// Layers is the number of layers that the work is done on, as the function Layers makes them. 0 is the tree itself.
	Layers int
	// Changes tells that Setup or Run changes more than Scratch.
	Changes bool
	// Remount tells that the filesystem must be mounted again between Setup and Run, so that the kernel knows nothing
	// of what Setup made.
	Remount bool
	// Options are mount options for this module's filesystem only.
	Options string
	// Debian tells that the tree must be a real Debian, not a made up one.
	Debian bool
	// Needs is the program that the workload needs; "" for none.
	Needs string
	Workload
}

// Config decides the sizes of the workloads.
type Config struct {
	Scale   float64 // of the numbers of files and bytes; 1 is the full size
	Archive string  // a tar of the tree
	Owner   string  // UID:GID that files of the tree can be given
}

// count returns n scaled, and at least 1.
func (c Config) count(n int) int { return max(1, int(float64(n)*c.Scale)) }

// Directories below the root.
const (
	Scratch = "bench-scratch" // what workloads make, most of them only there; no tree contains it
	sources = "bench-sources" // what Sources made
	system  = "usr"           // most of the tree
	shared  = "usr/share"     // a part of it with many small files
)

// nothing is the setup of workloads that need none.
type nothing struct{}

func (nothing) Setup(string) error { return nil }

// command is a program run in a directory below the root.
type command struct {
	nothing
	dir  string // relative to the root
	args []string
}

func (c command) Run(root string) error {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Dir = filepath.Join(root, c.dir)
	cmd.Env = append(os.Environ(), "HOME="+root, "LC_ALL=C")
	cmd.Env = append(cmd.Env, programEnv(root)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, out)
	}
	return nil
}

func shell(script string) []string { return []string{"sh", "-ec", script} }
