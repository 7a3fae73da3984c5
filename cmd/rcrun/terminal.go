package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/rcrun/rcrun/engine"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// defaultDetachKeys leave a terminal without ending what runs in it.
const defaultDetachKeys = "ctrl-p,ctrl-q"

// attachOptions say how a command is connected to a container.
type attachOptions struct {
	stdin, output, sigProxy bool
	detachKeys              string
}

// attachTo connects our streams by connect, stays until the container ends, and ends with its exit code.
func attachTo(c *engine.Container, options attachOptions, connect func(engine.Streams, engine.WinSize) (*engine.Session, error)) error {
	if c.Config.Tty && options.stdin && !stdinIsTerminal() {
		return errors.New("the input device is not a TTY: leave out -t, or run in a terminal")
	}
	keys, err := parseDetachKeys(options.detachKeys)
	if err != nil {
		return err
	}
	var streams engine.Streams
	if options.output {
		streams.Stdout = os.Stdout
		if !c.Config.Tty {
			streams.Stderr = os.Stderr
		}
	}
	detached := make(chan struct{})
	if options.stdin {
		streams.Stdin = os.Stdin
		if c.Config.Tty {
			streams.Stdin = &detachReader{source: os.Stdin, keys: keys, detach: sync.OnceFunc(func() { close(detached) })}
		}
	}
	restore, err := rawTerminal(c.Config.Tty && options.stdin)
	if err != nil {
		return err
	}
	defer restore()
	session, err := connect(streams, terminalSize())
	if err != nil {
		return err
	}
	defer session.Close()
	warn(session.Warnings)
	stop := forwardSignals(c.Config.Tty, options.sigProxy, session)
	defer stop()
	return waitSession(session, detached, restore)
}

// waitSession waits for the end of the session or for the detach keys.
func waitSession(session *engine.Session, detached <-chan struct{}, restore func()) error {
	type result struct {
		exit engine.Exit
		err  error
	}
	done := make(chan result, 1)
	go func() {
		exit, err := session.Wait()
		done <- result{exit, err}
	}()
	select {
	case <-detached:
		restore()
		fmt.Fprintln(os.Stderr, "read escape sequence")
		return nil
	case r := <-done:
		restore()
		if r.err != nil {
			return r.err
		}
		if r.exit.Error != "" {
			fmt.Fprintln(os.Stderr, "rcrun:", r.exit.Error)
		}
		if r.exit.Code != 0 {
			return exitStatus(r.exit.Code)
		}
		return nil
	}
}

// execAttached runs a further process, connected to our streams, and ends with its exit code.
func execAttached(c *engine.Container, options engine.ExecOptions, interactive, detach bool) error {
	if options.Tty && interactive && !stdinIsTerminal() {
		return errors.New("the input device is not a TTY: leave out -t, or run in a terminal")
	}
	streams := engine.Streams{Stdout: os.Stdout, Stderr: os.Stderr}
	if interactive {
		streams.Stdin = os.Stdin
	}
	if detach {
		streams = engine.Streams{}
	}
	options.Size = terminalSize()
	session, err := c.Exec(options, streams)
	if err != nil {
		return err
	}
	defer session.Close()
	if detach {
		return nil
	}
	restore := func() {}
	if session.Console != nil {
		if restore, err = rawTerminal(interactive); err != nil {
			return err
		}
		defer restore()
		copied := connectConsole(session.Console, interactive)
		defer func() { <-copied }()
	}
	return waitSession(session, nil, restore)
}

// connectConsole copies between our terminal and that of an executed process, and keeps their sizes the same. The
// channel it returns is closed when the output has ended.
func connectConsole(console *os.File, interactive bool) <-chan struct{} {
	resize := func() {
		if size := terminalSize(); size.Rows != 0 {
			// Without a size the terminal still works.
			unix.IoctlSetWinsize(int(console.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
		}
	}
	resize()
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	go func() {
		for range changed {
			resize()
		}
	}()
	if interactive {
		go io.Copy(console, os.Stdin)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(os.Stdout, console) // ends with EIO when the process has gone
	}()
	return copied
}

// rawTerminal puts our terminal into raw mode, if wanted, and returns the function that puts it back.
func rawTerminal(wanted bool) (restore func(), err error) {
	if !wanted || !stdinIsTerminal() {
		return func() {}, nil
	}
	fd := int(os.Stdin.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("put the terminal into raw mode: %w", err)
	}
	return sync.OnceFunc(func() { term.Restore(fd, state) }), nil
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

// forwardSignals passes our signals on until stop is called: with a terminal only its changes of size, since keys
// reach the container as what they are; without, all that mean something to another process.
func forwardSignals(tty, proxy bool, session *engine.Session) (stop func()) {
	received := make(chan os.Signal, 32)
	switch {
	case tty:
		signal.Notify(received, unix.SIGWINCH)
	case proxy:
		signal.Notify(received)
		signal.Reset(unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGWINCH, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT)
	}
	go func() {
		for s := range received {
			// An error means that the container has ended, which the session tells.
			switch sig := s.(syscall.Signal); sig {
			case unix.SIGWINCH:
				session.Resize(terminalSize())
			case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT:
			default:
				session.Signal(sig)
			}
		}
	}()
	return func() { signal.Stop(received) }
}

// detachReader reads from source until the detach keys come in one row; keys that turn out not to be the whole
// sequence are passed on.
type detachReader struct {
	source io.Reader
	keys   []byte
	detach func()
	held   int    // keys of the sequence that were read and held back
	ready  []byte // what is to be returned next
}

func (r *detachReader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		buffer := make([]byte, len(p))
		n, err := r.source.Read(buffer)
		if err != nil {
			return 0, err
		}
		for _, b := range buffer[:n] {
			if r.feed(b) {
				r.detach()
				return 0, io.EOF
			}
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// feed takes one byte and tells whether it completes the sequence.
func (r *detachReader) feed(b byte) bool {
	if len(r.keys) > 0 && b == r.keys[r.held] {
		r.held++
		return r.held == len(r.keys)
	}
	r.ready = append(r.ready, r.keys[:r.held]...)
	r.held = 0
	if len(r.keys) > 0 && b == r.keys[0] {
		r.held = 1
		return false
	}
	r.ready = append(r.ready, b)
	return false
}

// parseDetachKeys reads a list such as "ctrl-p,ctrl-q" or "a"; an empty one means that there are none.
func parseDetachKeys(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	var keys []byte
	for _, key := range strings.Split(text, ",") {
		name, isCtrl := strings.CutPrefix(key, "ctrl-")
		switch {
		case len(name) != 1:
			return nil, fmt.Errorf("invalid --detach-keys %q: want letters or ctrl-LETTER, separated by commas", text)
		case !isCtrl:
			keys = append(keys, name[0])
		default:
			b := name[0] &^ 0x60 // of letters, and of @ [ \ ] ^ _, the control character
			keys = append(keys, b)
		}
	}
	return keys, nil
}
