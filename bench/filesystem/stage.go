package filesystem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/rcrun/rcrun/internal/process"
	"github.com/rcrun/rcrun/rootless"
	"golang.org/x/sys/unix"
)

// The stages that this program is executed again as. argv[0] names the stage.
const (
	measureStage = "bench-measure"
	removeStage  = "bench-remove"
)

// Stages returns what to do as each of the stages of this package. The main function must call the one that argv[0]
// names.
func Stages() map[string]func() error {
	return map[string]func() error{measureStage: measureMain, removeStage: removeMain}
}

// runStage runs a stage as root of new user, mount and pid namespaces, with as many ids as the user may map, and
// decodes its answer into reply, which may be nil. When it returns, no process and no mount of the stage is left.
func runStage(ctx context.Context, stage string, request, reply any) (err error) {
	ids, _, err := rootless.PlanMap(rootless.ModeHost, rootless.CurrentCaller())
	if err != nil {
		return err
	}
	caps, err := process.Capabilities()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{stage}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		// The program is executed before its namespace has ids, which would cost it its capabilities.
		AmbientCaps: caps,
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", stage, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", stage, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", stage, err)
	}
	// The request also tells the stage that its ids are there.
	err = ids.Write(ctx, cmd.Process.Pid)
	if err == nil {
		err = json.NewEncoder(stdin).Encode(request)
	}
	if err != nil {
		stdin.Close() // so that the stage does not wait for it
	}
	answer, readErr := io.ReadAll(stdout)
	if err := errors.Join(err, readErr, cmd.Wait()); err != nil {
		return fmt.Errorf("%s: %w", stage, errors.Join(err, ctx.Err()))
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(answer, reply); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", stage, err)
	}
	return nil
}

// serveRequest decodes what runStage sent, has work do it, and sends the result. It gives up when the other side has
// ended. This process is the first of its pid namespace, so all others end with it.
func serveRequest[Request, Reply any](work func(Request) (Reply, error)) error {
	var request Request
	if err := json.NewDecoder(os.Stdin).Decode(&request); err != nil {
		return fmt.Errorf("await request: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	done, gone := make(chan error, 1), make(chan struct{})
	go func() {
		reply, err := work(request)
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(reply)
		}
		done <- err
	}()
	go func() {
		io.Copy(io.Discard, os.Stdin) // nothing is sent; this returns when the other side has ended
		close(gone)
	}()
	select {
	case err := <-done:
		return err
	case <-gone:
		return errors.New("the process that waits for the results has ended")
	}
}

// removeMain is the stage that removes a directory with files of ids that are not the user's own.
func removeMain() error {
	return serveRequest(func(dir string) (any, error) {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("remove the working directory: %w", err)
		}
		return nil, nil
	})
}
