package startup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/internal/fuseoverlay"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/runtime"
	"github.com/rcrun/rcrun/unionmount"
)

const (
	image      = "bench"
	podmanName = "podman run --network=none"
)

// prepare sets everything up below the directory work. It returns the subjects, and a function that cleans up.
func prepare(rcrun, work string) (subjects []subject, closeAll func() error, err error) {
	rcrun, err = filepath.Abs(rcrun)
	if err != nil {
		return nil, nil, fmt.Errorf("find the binary: %w", err)
	}
	tree, err := busyboxTar(work)
	if err != nil {
		return nil, nil, err
	}
	own := newTool(rcrun, filepath.Join(work, "rcrun"))
	if err := own.command("import", tree, image)(); err != nil {
		return nil, nil, err
	}
	subjects = append(subjects,
		subject{name: "run --network=none", reference: podmanName, once: own.command("run", "--rm", "--network=none",
			image, "true")},
		subject{name: "run --network=slirp4netns", once: own.command("run", "--rm", "--network=slirp4netns", image,
			"true")})
	podman, closePodman, err := preparePodman(tree, filepath.Join(work, "podman"))
	if err != nil {
		return nil, nil, err
	}
	subjects = append(subjects, podman...)
	stages := stageProgram(rcrun)
	for _, stage := range []string{engine.MonitorStage, mounted.Stage, runtime.SandboxStage} {
		subjects = append(subjects,
			subject{name: "start of " + stage, once: func() error { return startStage(stages, stage) }})
	}
	subjects = append(subjects,
		subject{name: "filesystem server ready", once: func() error { return startFuse(stages, work) }},
		subject{name: "version", once: own.command("version")})
	return subjects, closePodman, nil
}

// tool is a container engine with a home of its own.
type tool struct {
	program string
	flags   []string
	env     []string
}

func newTool(program, home string, flags ...string) tool {
	return tool{program: program, flags: flags, env: []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home,
		"PATH=" + os.Getenv("PATH")}}
}

// command returns a function that runs the tool with the arguments.
func (t tool) command(args ...string) func() error {
	return func() error {
		cmd := exec.Command(t.program, append(append([]string{}, t.flags...), args...)...)
		cmd.Env = t.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s %s: %w\n%s", filepath.Base(t.program), strings.Join(args, " "), err, out)
		}
		return nil
	}
}

// preparePodman sets podman up with fuse-overlayfs, where both are installed.
func preparePodman(tree, home string) ([]subject, func() error, error) {
	nothing := func() error { return nil }
	program, err := exec.LookPath("podman")
	if err != nil {
		return nil, nothing, nil
	}
	overlay, err := exec.LookPath("fuse-overlayfs")
	if err != nil {
		return nil, nothing, nil
	}
	flags := []string{"--log-level=error", "--storage-driver=overlay", "--storage-opt=overlay.mount_program=" + overlay,
		"--cgroup-manager=cgroupfs", "--events-backend=file"}
	if runc, err := exec.LookPath("runc"); err == nil {
		flags = append(flags, "--runtime="+runc) // crun refuses hybrid cgroups
	}
	podman := newTool(program, home, flags...)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, nil, fmt.Errorf("prepare podman: %w", err)
	}
	if err := podman.command("import", tree, image)(); err != nil {
		return nil, nil, err
	}
	run := subject{name: podmanName, once: podman.command("run", "--rm", "--network=none", image, "true")}
	return []subject{run}, func() error { return closePodman(podman) }, nil
}

// closePodman has podman remove its files of subordinate ids, which only podman can remove, and ends the process that
// podman leaves.
func closePodman(podman tool) error {
	err := podman.command("system", "reset", "--force")()
	return errors.Join(err, podman.command("system", "migrate")())
}

// stageProgram is the program of the stages beside rcrun. If there is none, rcrun itself is the program.
func stageProgram(rcrun string) string {
	beside := filepath.Join(filepath.Dir(rcrun), fuseoverlay.Name)
	if _, err := os.Stat(beside); err != nil {
		return rcrun
	}
	return beside
}

// startStage starts a stage of a container and closes the connection, so that the stage ends after its start.
func startStage(rcrun, stage string) error {
	return withStage(rcrun, stage, func(*wire.Conn) error { return nil })
}

// startFuse starts a server of a root filesystem, up to where it asks for the connection to serve. What it is told,
// and what it answers, are those of package mounted.
func startFuse(rcrun, work string) error {
	return withStage(rcrun, mounted.Stage, func(conn *wire.Conn) error {
		options := unionmount.Options{Lowers: []unionmount.Layer{{Dir: work, Ownership: unionmount.CallerOwned}}}
		if err := conn.Send("open", struct{ Stack unionmount.Options }{options}); err != nil {
			return err
		}
		_, err := conn.Expect("ready", nil, 0)
		return err
	})
}

// withStage starts a stage, has speak speak to it, and closes the connection, upon which the stage ends with an error.
func withStage(rcrun, stage string, speak func(*wire.Conn) error) error {
	conn, theirs, err := wire.Pair()
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: rcrun, Args: []string{stage}, ExtraFiles: []*os.File{theirs}}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		conn.Close()
		return err
	}
	err = speak(conn)
	conn.Close()
	var exit *exec.ExitError
	if waitErr := cmd.Wait(); err == nil && !errors.As(waitErr, &exit) {
		err = fmt.Errorf("stage %s: ended with %v after its connection was closed", stage, waitErr)
	}
	return err
}

// busyboxTar makes the smallest root filesystem that runs "true" and returns the path of its tar.
func busyboxTar(work string) (string, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", fmt.Errorf("find busybox: %w", err)
	}
	program, err := os.Open(busybox)
	if err != nil {
		return "", fmt.Errorf("read busybox: %w", err)
	}
	defer program.Close()
	root, err := os.MkdirTemp(work, "root")
	if err != nil {
		return "", fmt.Errorf("make a root filesystem: %w", err)
	}
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		return "", fmt.Errorf("make a root filesystem: %w", err)
	}
	target, err := os.OpenFile(filepath.Join(root, "bin", "true"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return "", fmt.Errorf("make a root filesystem: %w", err)
	}
	_, err = io.Copy(target, program)
	if err := errors.Join(err, target.Close()); err != nil {
		return "", fmt.Errorf("copy busybox: %w", err)
	}
	tree := root + ".tar"
	var stderr bytes.Buffer
	pack := exec.Command("tar", "-cf", tree, "-C", root, ".")
	pack.Stderr = &stderr
	if err := pack.Run(); err != nil {
		return "", fmt.Errorf("pack the root filesystem: %w: %s", err, stderr.Bytes())
	}
	return tree, nil
}
