package unpack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	oursName   = "rcrun"
	podmanName = "podman"
	image      = "localhost/bench:1"
)

// engine is a program that loads images, with a store of its own.
type engine struct {
	name, program string
	flags         []string
	home          string
}

// run runs the engine, and returns how many seconds that took and how many MiB of memory.
func (e engine) run(args ...string) (seconds, memory float64, err error) {
	cmd := exec.Command(e.program, append(append([]string{}, e.flags...), args...)...)
	cmd.Env = []string{"HOME=" + e.home, "XDG_RUNTIME_DIR=" + e.home, "PATH=" + os.Getenv("PATH")}
	start := time.Now()
	out, err := cmd.CombinedOutput()
	seconds = time.Since(start).Seconds()
	if err != nil {
		return 0, 0, fmt.Errorf("%s %s: %w: %s", e.name, strings.Join(args, " "), err, out)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = float64(usage.Maxrss) / 1024
	}
	return seconds, memory, nil
}

func measure(o options, dir string) (results []result, err error) {
	ours := engine{name: oursName, program: o.rcrun, home: filepath.Join(dir, oursName)}
	engines := []engine{ours}
	if podman, ok := findPodman(dir); ok {
		engines = append(engines, podman)
		defer func() { err = errors.Join(err, podman.close()) }()
	}
	for _, e := range engines {
		if err := os.Mkdir(e.home, 0o700); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", e.name, err)
		}
	}
	archives, err := makeArchives(ours, o.tree, dir)
	if err != nil {
		return nil, err
	}
	for _, archive := range archives {
		for _, e := range engines {
			results = append(results, result{Archive: filepath.Base(archive), Engine: e.name})
		}
	}
	for round := range o.rounds {
		for i := range results {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s, %s\n", round+1, o.rounds, results[i].Archive, results[i].Engine)
			if err := results[i].add(engines[i%len(engines)], archives[i/len(engines)]); err != nil {
				return nil, err
			}
		}
	}
	compare(results)
	return results, nil
}

// add measures once, and leaves the engine without the image.
func (r *result) add(e engine, archive string) error {
	unix.Sync()
	seconds, memory, err := e.run("load", "-q", "-i", archive)
	if err != nil {
		return err
	}
	r.Seconds, r.Memory = append(r.Seconds, seconds), append(r.Memory, memory)
	_, _, err = e.run("rmi", image)
	return err
}

// findPodman returns podman with the filesystem that it has for users without root.
func findPodman(dir string) (engine, bool) {
	podman, err1 := exec.LookPath(podmanName)
	overlay, err2 := exec.LookPath("fuse-overlayfs")
	flags := []string{"--log-level=error", "--storage-driver=overlay", "--storage-opt=overlay.mount_program=" + overlay,
		"--cgroup-manager=cgroupfs", "--events-backend=file"}
	return engine{name: podmanName, program: podman, flags: flags, home: filepath.Join(dir, podmanName)}, err1 == nil && err2 == nil
}

// close removes what only podman can remove, files of subordinate ids, and ends the process that it leaves.
func (e engine) close() error {
	_, _, err1 := e.run("system", "reset", "--force")
	_, _, err2 := e.run("system", "migrate")
	return errors.Join(err1, err2)
}

// makeArchives makes an image of the tree and returns the paths of its archives: with a plain layer, and with one that
// is compressed with gzip.
func makeArchives(ours engine, tree, dir string) (paths []string, err error) {
	plain, zipped := filepath.Join(dir, "docker-archive, plain"), filepath.Join(dir, "oci-archive, gzip")
	for _, args := range [][]string{
		{"import", tree, image},
		{"save", "-o", plain, image},
		{"save", "--format", "oci-archive", "-o", zipped, image},
		{"rmi", image},
	} {
		if _, _, err := ours.run(args...); err != nil {
			return nil, fmt.Errorf("make an image: %w", err)
		}
	}
	return []string{plain, zipped}, nil
}
