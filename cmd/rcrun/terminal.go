package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/rcrun/rcrun/engine"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// attachOptions say how a command is connected to a process in a container.
type attachOptions struct {
	stdin, stdout, stderr, tty, sigProxy bool // on a terminal, stderr is nothing of its own

	detachKeys string
}

// check refuses what cannot work before anything is started.
func (o attachOptions) check() error {
	if o.tty && o.stdin && !stdinIsTerminal() {
		return errors.New("the input device is not a TTY: leave out -t, or run in a terminal")
	}
	_, err := parseDetachKeys(o.detachKeys)
	return err
}

// connector connects streams to a process. The size is that of our terminal.
type connector func(ctx context.Context, streams engine.Streams, size engine.WinSize) (*engine.Session, error)

// attachTo connects our streams to a container's payload, stays until it ends, and ends with its exit code.
func attachTo(ctx context.Context, options attachOptions, connect connector) error {
	var streams engine.Streams
	if options.stdout {
		streams.Stdout = os.Stdout
	}
	if options.stderr && !options.tty {
		streams.Stderr = os.Stderr
	}
	input, leave, err := options.input()
	if err != nil {
		return err
	}
	streams.Stdin = input
	restore, err := rawTerminal(options.tty && options.stdin)
	if err != nil {
		return err
	}
	defer restore()
	session, err := connect(ctx, streams, terminalSize())
	if err != nil {
		return err
	}
	defer session.Close()
	warn(session.Warnings)
	defer options.forwardSignals(ctx, session, leave)()
	err = waitSession(ctx, session, leave, restore)
	if leave.isDetached() {
		session.Detach(ctx) // an error means that the container has ended meanwhile
	}
	return err
}

// input returns our standard input, if it is wanted, and a way to leave without waiting for the end: on a terminal,
// the detach keys take it.
func (o attachOptions) input() (io.Reader, *exit, error) {
	leave := &exit{taken: make(chan struct{})}
	switch {
	case !o.stdin:
		return nil, leave, nil
	case !o.tty:
		return os.Stdin, leave, nil
	}
	keys, err := parseDetachKeys(o.detachKeys)
	if err != nil {
		return nil, nil, err
	}
	return &detachReader{source: os.Stdin, keys: keys, detach: func() { leave.take("read escape sequence", nil) }},
		leave, nil
}

// exit is a way out of an attached command that leaves the process running.
type exit struct {
	once    sync.Once
	taken   chan struct{} // closed when it is taken; the rest holds from then on
	message string
	err     error
}

func (e *exit) take(message string, err error) {
	e.once.Do(func() {
		e.message, e.err = message, err
		close(e.taken)
	})
}

// isDetached tells whether the user has left on purpose.
func (e *exit) isDetached() bool {
	select {
	case <-e.taken:
		return e.err == nil
	default:
		return false
	}
}

// waitSession waits for the end of the session, or until somebody leaves.
func waitSession(ctx context.Context, session *engine.Session, leave *exit, restore func()) error {
	type result struct {
		exit engine.Exit
		err  error
	}
	done := make(chan result, 1)
	go func() {
		exit, err := session.Wait(ctx)
		done <- result{exit, err}
	}()
	select {
	case <-leave.taken:
		restore()
		fmt.Fprintln(os.Stderr, leave.message)
		return leave.err
	case r := <-done:
		restore()
		if r.err != nil {
			return r.err
		}
		if r.exit.Error != "" {
			complain(errors.New(r.exit.Error))
		}
		if r.exit.Code != 0 {
			return exitStatus(r.exit.Code)
		}
		return nil
	}
}

// execAttached runs a further process, connected to our streams, and ends with its exit code.
func execAttached(ctx context.Context, c *engine.Container, options engine.ExecOptions, attach attachOptions) error {
	var streams engine.Streams
	if attach.stdout {
		streams = engine.Streams{Stdout: os.Stdout, Stderr: os.Stderr}
	}
	input, leave, err := attach.input()
	if err != nil {
		return err
	}
	streams.Stdin = input
	options.Size = terminalSize()
	restore, err := rawTerminal(attach.tty && attach.stdin)
	if err != nil {
		return err
	}
	defer restore()
	session, err := c.Exec(ctx, options, streams)
	if err != nil {
		return err
	}
	defer session.Close()
	if options.Detach {
		return nil
	}
	copied := make(chan struct{})
	close(copied)
	if session.Console != nil {
		copied = connectConsole(session.Console, input)
	}
	err = waitSession(ctx, session, leave, restore)
	if leave.isDetached() {
		session.Detach(ctx) // an error means that the process has ended meanwhile
		return err
	}
	<-copied
	return err
}

// connectConsole copies between our terminal and that of an executed process, and keeps their sizes the same. The
// channel it returns is closed when the output has ended.
func connectConsole(console *os.File, input io.Reader) chan struct{} {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	go func() {
		for range changed {
			if size := terminalSize(); size.Rows != 0 {
				// Without a size the terminal still works.
				unix.IoctlSetWinsize(int(console.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
			}
		}
	}()
	if input != nil {
		go io.Copy(console, input)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(os.Stdout, console) // ends with EIO when the process has gone
	}()
	return copied
}

// stdinIsTerminal tells whether somebody types into our standard input.
func stdinIsTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// rawTerminal puts our terminal into raw mode, if wanted, and returns the function that puts it back. It is put back
// also when a signal ends us.
func rawTerminal(wanted bool) (restore func(), err error) {
	if !wanted || !stdinIsTerminal() {
		return func() {}, nil
	}
	fd := int(os.Stdin.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("put the terminal into raw mode: %w", err)
	}
	restore = sync.OnceFunc(func() { term.Restore(fd, state) })
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		s := (<-ending).(syscall.Signal)
		restore()
		signal.Reset(s)
		unix.Kill(os.Getpid(), s)
	}()
	return restore, nil
}

// terminalSize returns the size of our terminal, or zeroes where we have none.
func terminalSize() engine.WinSize {
	for _, file := range []*os.File{os.Stdout, os.Stdin} {
		if cols, rows, err := term.GetSize(int(file.Fd())); err == nil {
			return engine.WinSize{Rows: uint16(rows), Cols: uint16(cols)}
		}
	}
	return engine.WinSize{}
}

// forceAfter is how many times one asks an attached command to end before it does so by itself, whatever the container
// makes of it.
const forceAfter = 3

// forwardSignals passes our signals on until stop is called: with a terminal only its changes of size, since keys
// reach the container as what they are; without, all that mean something to another process.
func (o attachOptions) forwardSignals(ctx context.Context, session *engine.Session, leave *exit) (stop func()) {
	received := make(chan os.Signal, 32)
	switch {
	case o.tty:
		signal.Notify(received, unix.SIGWINCH)
	case o.sigProxy:
		signal.Notify(received)
		signal.Reset(unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGWINCH, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU,
			unix.SIGCONT)
	}
	go func() {
		asked := 0
		for s := range received {
			sig := s.(syscall.Signal)
			if sig == unix.SIGWINCH {
				session.Resize(ctx, terminalSize())
				continue
			}
			if sig == unix.SIGINT || sig == unix.SIGTERM {
				asked++
			}
			if asked == forceAfter {
				leave.take(fmt.Sprintf("rcrun: got %d SIGTERM or SIGINT, leaving the container to itself", asked),
					exitStatus(128+int(sig)))
			}
			session.Signal(ctx, sig) // an error means that the container has ended, which the session tells
		}
	}()
	return func() { signal.Stop(received) }
}
