package rootless

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
)

// The network that slirp4netns makes: the interface and address of the container, the host as gateway, and a DNS
// server.
const (
	SlirpInterface = "eth0"
	SlirpAddress   = "10.0.2.100"
	SlirpGateway   = "10.0.2.2"
	SlirpDNS       = "10.0.2.3"
	SlirpPrefix    = 24 // bits of the network in the address

	slirpMTU = 65520 // bytes; the largest that slirp4netns takes, because fewer packets are faster
)

// ErrNoSlirp is returned where slirp4netns is not installed.
var ErrNoSlirp = fault.Errorf(errdefs.ErrUnavailable,
	`slirp4netns is not installed: install it with "sudo apt-get install slirp4netns"`)

// SlirpConfig describes a network and the container that gets it.
type SlirpConfig struct {
	PID    int           // a process in the container's user and network namespaces
	RunDir string        // an existing directory of the caller's for the control socket
	Ports  []PortMapping // what to publish on the host
}

// Slirp is a running slirp4netns. It ends with the process that started it.
type Slirp struct {
	ports  []PortMapping
	relays []*relay // for ports that slirp4netns does not forward itself
	cmd    *exec.Cmd
	exit   *os.File // slirp4netns ends when this is closed
	socket string
	said   *tail
	weaker string        // the confinement that it lacks, in a sentence; "" for none
	ended  chan struct{} // closed when the process is reaped
	once   sync.Once
}

// slirpHardening are sets of options in the order in which they are tried. Each needs less of the version and of the
// host than the one before, and confines a slirp4netns that the container has taken over less.
var slirpHardening = []struct {
	options []string
	lacks   string
}{
	{[]string{"--enable-sandbox", "--enable-seccomp"}, ""},
	{[]string{"--enable-seccomp"}, "a sandbox"},
	{nil, "a sandbox and a seccomp filter"},
}

// FindSlirp returns nil where slirp4netns is installed, and otherwise ErrNoSlirp.
func FindSlirp() error {
	if _, err := lookPath("slirp4netns"); err != nil {
		return ErrNoSlirp
	}
	return nil
}

// StartSlirp gives the network namespace of process cfg.PID an interface, and publishes the ports. It returns when the
// network works. The error is ErrNoSlirp where the program is missing. If ctx ends before, nothing remains.
func StartSlirp(ctx context.Context, cfg SlirpConfig) (*Slirp, error) {
	program, err := lookPath("slirp4netns")
	if err != nil {
		return nil, ErrNoSlirp
	}
	var s *Slirp
	var first error
	for _, hardening := range slirpHardening {
		s, err = launchSlirp(ctx, program, hardening.options, cfg)
		if err == nil && hardening.lacks != "" {
			s.weaker = fmt.Sprintf("slirp4netns runs without %s, because it does not start with it: %v",
				hardening.lacks, first)
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		first = cmp.Or(first, err)
	}
	if err != nil {
		return nil, err
	}
	if err := s.publish(ctx, cfg.Ports); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Ports returns the published ports, with the port that was chosen where any free port was good enough.
func (s *Slirp) Ports() []PortMapping { return s.ports }

// Warning tells which confinement slirp4netns lacks, "" for none.
func (s *Slirp) Warning() string { return s.weaker }

// Serve relays the ports that slirp4netns does not forward itself, until Close. Datagrams that came before wait for it.
func (s *Slirp) Serve(dial DialFunc) {
	for _, r := range s.relays {
		r.start(dial)
	}
}

// Done returns a channel that is closed when slirp4netns has ended, by Close or by itself.
func (s *Slirp) Done() <-chan struct{} { return s.ended }

// Close ends slirp4netns, waits until it is gone and removes its socket.
func (s *Slirp) Close() error {
	s.once.Do(func() {
		s.exit.Close()
		for _, r := range s.relays {
			r.close()
		}
	})
	select {
	case <-s.ended:
	case <-time.After(2 * time.Second):
		// It is stuck. Kill can fail only because slirp4netns has ended after all.
		s.cmd.Process.Kill()
		<-s.ended
	}
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("end slirp4netns: %w", err)
	}
	return nil
}

// launchSlirp starts the program and waits until it says that the network is ready.
func launchSlirp(ctx context.Context, program string, options []string, cfg SlirpConfig) (*Slirp, error) {
	s := &Slirp{socket: filepath.Join(cfg.RunDir, "slirp.sock"), said: &tail{}, ended: make(chan struct{})}
	// A socket that a killed slirp4netns left would make the bind fail.
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("start slirp4netns: %w", err)
	}
	ready, readyWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start slirp4netns: %w", err)
	}
	defer ready.Close()
	exitReader, exit, err := os.Pipe()
	if err != nil {
		readyWriter.Close()
		return nil, fmt.Errorf("start slirp4netns: %w", err)
	}
	s.exit = exit
	s.cmd = exec.Command(program, slirpArgs(options, cfg)...)
	s.cmd.Dir = cfg.RunDir // so that the socket's address is short, whatever the directory is
	s.cmd.ExtraFiles = []*os.File{readyWriter, exitReader}
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	err = s.cmd.Start()
	readyWriter.Close()
	exitReader.Close()
	if err != nil {
		exit.Close()
		return nil, fmt.Errorf("start slirp4netns: %w", err)
	}
	go func() {
		s.cmd.Wait() // its output tells how it ended
		close(s.ended)
	}()
	if err := s.awaitReady(ctx, ready); err != nil {
		s.Close()
		return nil, fmt.Errorf("start slirp4netns: %w", s.said.explain(err))
	}
	return s, nil
}

func slirpArgs(options []string, cfg SlirpConfig) []string {
	args := []string{"--configure", "--disable-host-loopback", "--mtu=" + strconv.Itoa(slirpMTU),
		"--ready-fd=3", "--exit-fd=4", "--api-socket=slirp.sock"}
	args = append(args, options...)
	return append(args, strconv.Itoa(cfg.PID), SlirpInterface)
}

// awaitReady returns when slirp4netns writes to the pipe, and an error when it ends before.
func (s *Slirp) awaitReady(ctx context.Context, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := ready.Read(make([]byte, 1))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, io.EOF) {
		<-s.ended // after that its output is complete
		return errors.New("it ended at once")
	}
	return err
}

// tail keeps the last output of a program, which tells why it failed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const limit = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - limit; over > 0 {
		t.text = t.text[over:]
	}
	return len(p), nil
}

// explain adds the last telling line to err: "child failed(1)" only follows the line with the cause.
func (t *tail) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for _, line := range slices.Backward(lines) {
		if line != "" && !strings.HasPrefix(line, "child failed") {
			return fmt.Errorf("%w: %s", err, line)
		}
	}
	return err
}

// socketAddress returns an address of at most 108 bytes for the control socket, by the descriptor of its directory.
func socketAddress(path string) (address string, release func(), err error) {
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	address = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return address, func() { dir.Close() }, nil
}
