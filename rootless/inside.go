package rootless

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	goruntime "runtime"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/rcrun/rcrun/internal/process"
)

// The stages of RunInside, by argv[0]. A program that finds EnterStage there must call Enter, which executes the
// program again as InsideStage with its arguments.
const (
	EnterStage  = "rcrun-enter"
	InsideStage = "rcrun-inside"
)

// enterFD is the descriptor of the pipe that tells the program that its id map is written.
const enterFD = 3

// RunInside runs this program once more, as user 0 of a user namespace with the map m and with a mount namespace of its
// own. It returns the exit code as a shell has it. Standard streams, working directory and process group are those of
// the calling process. Signals are passed on. The process is killed when ctx ends.
func RunInside(ctx context.Context, m Map, args, env []string) (code int, err error) {
	// The kernel kills the child when the thread that started it ends.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	cmd, err := startInside(ctx, m, args, env)
	if err != nil {
		return 0, fmt.Errorf("enter a user namespace: %w", err)
	}
	stop := passSignals(cmd.Process)
	cancelled := context.AfterFunc(ctx, func() { cmd.Process.Kill() }) // an error means that it has ended
	err = cmd.Wait()
	stop()
	if !cancelled() {
		return 0, fmt.Errorf("wait for the process in the user namespace: %w", context.Cause(ctx))
	}
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("wait for the process in the user namespace: %w", err)
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

func startInside(ctx context.Context, m Map, args, env []string) (*exec.Cmd, error) {
	caps, err := process.Capabilities()
	if err != nil {
		return nil, err
	}
	wait, written, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer wait.Close()
	defer written.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{EnterStage}, args...), Env: env,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{wait},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			// Capabilities that are not ambient are lost at execve(2). They cannot be regained later, because gaining
			// capabilities at execve(2) clears the parent death signal.
			AmbientCaps: caps,
			Pdeathsig:   syscall.SIGKILL,
		},
	}
	if err := cmd.Start(); err != nil {
		if cause := RequireUserNamespaces(); cause != nil {
			err = fmt.Errorf("%w (%w)", err, cause)
		}
		return nil, err
	}
	if err := m.Write(ctx, cmd.Process.Pid); err != nil {
		written.Close() // which ends the child
		return nil, errors.Join(err, ignoreExit(cmd.Wait()))
	}
	_, err = written.Write([]byte{0})
	return cmd, err
}

// ignoreExit drops the error of a child that has ended as asked.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// passSignals passes on the signals that end or inform programs. A signal of the terminal reaches the whole process
// group already.
func passSignals(to *os.Process) (stop func()) {
	received := make(chan os.Signal, 8)
	signal.Notify(received, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGINT,
		syscall.SIGQUIT)
	go func() {
		for sig := range received {
			if (sig == syscall.SIGINT || sig == syscall.SIGQUIT) && inForeground() {
				continue
			}
			to.Signal(sig) // an error means that it has ended
		}
	}()
	return func() {
		signal.Stop(received)
		close(received)
	}
}

// inForeground tells whether the interrupt key of a terminal reaches the process.
func inForeground() bool {
	for _, file := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if !term.IsTerminal(int(file.Fd())) {
			continue
		}
		group, err := unix.IoctlGetInt(int(file.Fd()), unix.TIOCGPGRP)
		return err == nil && group == unix.Getpgrp()
	}
	return false
}

// Enter makes the process user 0 of the namespace that RunInside made, and executes the program again. It returns only
// with an error, which is io.EOF if RunInside has given up.
func Enter() error {
	goruntime.LockOSThread() // the death signal belongs to a thread, and execve(2) keeps only that of its caller
	starter := os.Getppid()
	pipe := os.NewFile(enterFD, "pipe")
	_, err := io.ReadFull(pipe, make([]byte, 1))
	pipe.Close()
	if err != nil {
		return fmt.Errorf("wait for the id map: %w", err)
	}
	if err := errors.Join(unix.Setresgid(0, 0, 0), unix.Setresuid(0, 0, 0)); err != nil {
		return fmt.Errorf("become user 0: %w", err)
	}
	if err := process.DieWithParent(); err != nil {
		return err
	}
	if os.Getppid() != starter {
		return fmt.Errorf("tie the process to its parent, which has ended: %w", io.EOF)
	}
	err = unix.Exec("/proc/self/exe", append([]string{InsideStage}, os.Args[1:]...), os.Environ())
	return &os.PathError{Op: "execute", Path: "/proc/self/exe", Err: err}
}
