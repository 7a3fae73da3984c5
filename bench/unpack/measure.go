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

// run runs the engine, and returns the seconds and the MiB of memory that this took.
func (e engine) run(args ...string) (seconds, memory float64, err error) {
	cmd := exec.Command(e.program, append(append([]string{}, e.flags...), args...)...)
	cmd.Env = []string{"HOME=" + e.home, "XDG_RUNTIME_DIR=" + e.home, "PATH=" + os.Getenv("PATH")}
	// The output goes to a file: waiting for the end of a pipe would include waiting for the process that podman
	// leaves.
	output, err := os.CreateTemp(e.home, "output.")
	if err != nil {
		return 0, 0, err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	start := time.Now()
	err = cmd.Run()
	seconds = time.Since(start).Seconds()
	if err != nil {
		out, _ := os.ReadFile(output.Name())
		return 0, 0, fmt.Errorf("%s %s: %w: %s", e.name, strings.Join(args, " "), err, out)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = float64(usage.Maxrss) / 1024
	}
	return seconds, memory, nil
}

// in returns the engine with a store of its own, which is empty.
func (e engine) in(home string) (engine, error) {
	e.home = home
	if err := os.Mkdir(home, 0o700); err != nil {
		return e, fmt.Errorf("prepare %s: %w", e.name, err)
	}
	return e, nil
}

// source is where an image comes from, with the arguments that load it.
type source struct {
	name string
	args map[string][]string // by the name of the engine
}

func archiveSource(path string) source {
	args := []string{"load", "-q", "-i", path}
	return source{filepath.Base(path), map[string][]string{oursName: args, podmanName: args}}
}

func (r *registry) source() source {
	return source{"registry, gzip", map[string][]string{
		oursName: {"pull", "-q", r.image}, podmanName: {"pull", "-q", "--tls-verify=false", r.image},
	}}
}

func measure(o options, dir string) (results []result, err error) {
	ours, err := engine{name: oursName, program: o.rcrun}.in(filepath.Join(dir, oursName))
	if err != nil {
		return nil, err
	}
	engines := []engine{ours}
	if podman, ok := findPodman(); ok {
		engines = append(engines, podman)
	}
	server, err := startRegistry(dir)
	if err != nil {
		return nil, err
	}
	if server != nil {
		defer func() { err = errors.Join(err, server.close()) }()
	}
	sources, err := makeSources(ours, o.tree, dir, server)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		for _, e := range engines {
			results = append(results, result{Archive: s.name, Engine: e.name})
		}
	}
	var used []engine
	defer func() {
		for _, e := range used {
			err = errors.Join(err, e.close())
		}
	}()
	for round := range o.rounds {
		for i := range results {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s, %s\n", round+1, o.rounds, results[i].Archive, results[i].Engine)
			e, err := engines[i%len(engines)].in(filepath.Join(dir, fmt.Sprintf("store.%d.%d", round, i)))
			if err != nil {
				return nil, err
			}
			used = append(used, e)
			if err := results[i].add(e, sources[i/len(engines)]); err != nil {
				return nil, err
			}
		}
	}
	compare(results)
	return results, nil
}

// add measures once.
func (r *result) add(e engine, s source) error {
	unix.Sync()
	seconds, memory, err := e.run(s.args[e.name]...)
	if err != nil {
		return err
	}
	r.Seconds, r.Memory = append(r.Seconds, seconds), append(r.Memory, memory)
	return nil
}

// findPodman returns podman with the filesystem that it uses without root.
func findPodman() (engine, bool) {
	podman, err1 := exec.LookPath(podmanName)
	overlay, err2 := exec.LookPath("fuse-overlayfs")
	flags := []string{"--log-level=error", "--storage-driver=overlay", "--storage-opt=overlay.mount_program=" + overlay,
		"--cgroup-manager=cgroupfs", "--events-backend=file"}
	return engine{name: podmanName, program: podman, flags: flags}, err1 == nil && err2 == nil
}

// close has podman remove its files of subordinate ids, which only podman can remove, and ends the process that podman
// leaves.
func (e engine) close() error {
	if e.name != podmanName {
		return nil
	}
	_, _, err1 := e.run("system", "reset", "--force")
	_, _, err2 := e.run("system", "migrate")
	return errors.Join(err1, err2)
}

// makeSources makes an image of the tree. It returns its sources: archives with a plain layer and with a layer
// compressed by gzip, and the registry if there is one.
func makeSources(ours engine, tree, dir string, server *registry) (sources []source, err error) {
	plain, zipped := filepath.Join(dir, "docker-archive, plain"), filepath.Join(dir, "oci-archive, gzip")
	sources = []source{archiveSource(plain), archiveSource(zipped)}
	commands := [][]string{
		{"import", tree, image},
		{"save", "-o", plain, image},
		{"save", "--format", "oci-archive", "-o", zipped, image},
	}
	if server != nil {
		sources = append(sources, server.source())
		commands = append(commands, []string{"push", image, server.image})
	}
	for _, args := range commands {
		if _, _, err := ours.run(args...); err != nil {
			return nil, fmt.Errorf("make an image: %w", err)
		}
	}
	return sources, nil
}
