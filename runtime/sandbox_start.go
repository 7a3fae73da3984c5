package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// sandboxProcess is what the creator holds of the sandbox.
type sandboxProcess struct {
	conn *wire.Conn
	proc *os.Process
	done chan struct{} // closed when the process has been waited for
}

// startSandbox clones the sandbox into its namespaces. It sends it nothing yet.
func startSandbox(c Config) (*sandboxProcess, error) {
	caps, err := allCaps()
	if err != nil {
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	defer null.Close()
	conn, theirs, err := wire.Pair()
	if err != nil {
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	defer theirs.Close()
	log := orNull(c.LogFile, null)
	s := &sandboxProcess{conn: conn, done: make(chan struct{})}
	err = s.run(&os.ProcAttr{
		Dir:   c.Dir,
		Env:   []string{},
		Files: []*os.File{null, log, log, theirs},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			AmbientCaps: caps.list(),
			Pdeathsig:   syscall.SIGKILL,
			Setsid:      true,
		},
	})
	if err != nil {
		conn.Close()
		return nil, wire.Errorf(stageSandbox, "start in a new user namespace", "", err)
	}
	return s, nil
}

// run starts the process from a thread that lives as long as the process: the kernel sends the parent death signal when
// the thread ends that made the child, not when its process does.
func (s *sandboxProcess) run(attr *os.ProcAttr) error {
	result := make(chan error)
	go func() {
		goruntime.LockOSThread()
		defer goruntime.UnlockOSThread()
		proc, err := os.StartProcess(selfExe, []string{SandboxStage}, attr)
		s.proc = proc
		result <- err
		if err == nil {
			proc.Wait() // the messages of the stage, or their lack, tell how it ended
			close(s.done)
		}
	}()
	return <-result
}

// endTime bounds how long the sandbox may take to end all other processes of the container. Then it is killed, which
// ends them as well, but without waiting until they have ended.
const endTime = 10 * time.Second

// end closes the wire, upon which the sandbox ends the container and itself, and waits for that.
func (s *sandboxProcess) end() error {
	s.conn.Close()
	select {
	case <-s.done:
		return nil
	case <-time.After(endTime):
		s.proc.Kill()
		<-s.done
		return wire.Errorf(stageSandbox, "end the container", "", errors.New("took too long and was killed"))
	}
}

// create leads the sandbox through the creation of the container.
func (s *sandboxProcess) create(ctx context.Context, c Config, message sandboxConfig) (*Container, error) {
	pid, err := s.begin(ctx, c, message)
	if err != nil {
		return nil, s.orDeath(err)
	}
	network := make(chan error, 1)
	if c.Network == nil {
		network <- nil
	} else {
		go func() {
			err := c.Network(ctx, pid)
			if err != nil {
				s.conn.Close() // so that await ends, since the sandbox would report success
			}
			network <- err
		}()
	}
	container, err := s.await(c)
	if err != nil {
		s.conn.Close() // which ends the sandbox, and with it the work on its network
	}
	networkErr := <-network
	var told *wire.Error
	if networkErr != nil && !errors.As(err, &told) {
		return container, fmt.Errorf("set up network: %w", networkErr)
	}
	return container, s.orDeath(err) // the report of a stage is the cause; the network failed because of it
}

// begin leads the sandbox up to the point where the container has its namespaces, and returns the pid of its first
// process.
func (s *sandboxProcess) begin(ctx context.Context, c Config, message sandboxConfig) (pid int, err error) {
	if err := s.configure(ctx, c, message); err != nil {
		return 0, err
	}
	if err := s.awaitRoot(ctx, c); err != nil {
		return 0, err
	}
	var born started
	_, err = s.conn.Expect(msgBorn, &born, 0)
	return born.Pid, err
}

// configure sends the configuration and has the ids mapped.
func (s *sandboxProcess) configure(ctx context.Context, c Config, message sandboxConfig) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("configure sandbox: %w", err)
	}
	defer null.Close()
	err = s.conn.Send(msgConfig, message, orNull(c.Stdin, null), orNull(c.Stdout, null), orNull(c.Stderr, null))
	if err != nil {
		return fmt.Errorf("configure sandbox: %w", err)
	}
	if err := c.MapIDs(ctx, s.proc.Pid); err != nil {
		return fmt.Errorf("map ids: %w", err)
	}
	if err := s.conn.Send(msgMapped, nil); err != nil {
		return fmt.Errorf("configure sandbox: %w", err)
	}
	return nil
}

// await receives what the sandbox reports, up to the created container. The caller must release a container that comes
// with an error.
func (s *sandboxProcess) await(c Config) (*Container, error) {
	container := &Container{
		handle:  handle{args: c.Spec.Process.Args, ended: make(chan struct{})},
		sandbox: s,
		started: make(chan error, 1),
	}
	if c.Spec.Process.Terminal {
		files, err := s.conn.Expect(msgConsole, nil, 1)
		if err != nil {
			return nil, err
		}
		container.console = files[0]
	}
	var report created
	files, err := s.conn.Expect(msgCreated, &report, 1)
	if err != nil {
		return container, err
	}
	container.Pid, container.pidfd, container.warnings = report.Pid, files[0], report.Warnings
	return container, nil
}

func (s *sandboxProcess) awaitRoot(ctx context.Context, c Config) error {
	var mounted rootMounted
	if _, err := s.conn.Expect(msgRoot, &mounted, 0); err != nil || !mounted.FD {
		return err
	}
	files, err := s.conn.Expect(msgRootFD, nil, 1)
	if err != nil {
		return err
	}
	if c.RootFD == nil {
		return files[0].Close()
	}
	return c.RootFD(ctx, files[0])
}

// orDeath replaces the error of a wire that ended without a message by one that says so.
func (s *sandboxProcess) orDeath(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
		return wire.Errorf(stageSandbox, "create the container", "", fmt.Errorf("the process died: %w", err))
	}
	return err
}

func orNull(f, null *os.File) *os.File {
	if f == nil {
		return null
	}
	return f
}
