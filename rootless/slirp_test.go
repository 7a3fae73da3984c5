package rootless

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
)

func procPath(pid int, file string) string { return fmt.Sprintf("/proc/%d/%s", pid, file) }

func TestSlirpForwardsPorts(t *testing.T) {
	pid := startServer(t)
	// Longer than a socket address may be.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := StartSlirp(t.Context(), SlirpConfig{PID: pid, RunDir: dir, Ports: []PortMapping{
		{HostIP: "127.0.0.1", ContainerPort: 80, Protocol: "tcp"},
		{HostIP: "127.0.0.1", ContainerPort: 81, Protocol: "udp"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if ports := s.Ports(); len(ports) != 2 || ports[0].HostPort == 0 || ports[1].HostPort == 0 {
		t.Fatalf("published %v", ports)
	}
	if got := greet(t, s.Ports()[0]); got != "hello from inside\n" {
		t.Errorf("through the published port: %q", got)
	}
	if dev, _ := os.ReadFile(procPath(pid, "net/dev")); !strings.Contains(string(dev), " eth0:") {
		t.Errorf("the container's interfaces are\n%s", dev)
	}
	checkClosed(t, s, dir)
}

// checkClosed ends s and checks that nothing of it is left.
func checkClosed(t *testing.T, s *Slirp, dir string) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(s.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Close: %v", s.cmd.Process.Pid, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func greet(t *testing.T, p PortMapping) string {
	t.Helper()
	c, err := net.Dial("tcp", p.hostAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience.Of(10 * time.Second)))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Errorf("read from the published port: %v", err)
	}
	return line
}

func TestSlirpEndsWithoutItsStarter(t *testing.T) {
	dir := t.TempDir()
	s, err := StartSlirp(t.Context(), SlirpConfig{PID: startServer(t), RunDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.exit.Close() // what the kernel does when the starter is killed
	patience.Closed(t, "slirp4netns ends", s.Done())
	checkClosed(t, s, dir)
}

func TestSlirpSaysWhatIsWrong(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := PortMapping{HostIP: "127.0.0.1", HostPort: uint16(l.Addr().(*net.TCPAddr).Port), ContainerPort: 80,
		Protocol: "tcp"}
	ipv6 := PortMapping{HostIP: "::1", ContainerPort: 80, Protocol: "tcp"}
	pid := startServer(t)
	for name, c := range map[string]struct {
		cfg  SlirpConfig
		part string
	}{
		"no process":   {SlirpConfig{PID: 1 << 30}, "No such file or directory"},
		"busy port":    {SlirpConfig{PID: pid, Ports: []PortMapping{busy}}, "already allocated"},
		"IPv6 address": {SlirpConfig{PID: pid, Ports: []PortMapping{ipv6}}, "IPv4 addresses only"},
		"no directory": {SlirpConfig{PID: pid, RunDir: "/nonexistent"}, "/nonexistent"},
	} {
		if c.cfg.RunDir == "" {
			c.cfg.RunDir = t.TempDir()
		}
		s, err := StartSlirp(t.Context(), c.cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v, want %q in it", name, err, c.part)
		}
	}
}

func TestSlirpRefusesAnOption(t *testing.T) {
	program, err := lookPath("slirp4netns")
	if err != nil {
		t.Fatalf("no slirp4netns, which scripts/setup installs: %v", err)
	}
	config := SlirpConfig{PID: startServer(t), RunDir: t.TempDir()}
	s, err := launchSlirp(t.Context(), program, []string{"--mtu=1"}, config)
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "MTU") {
		t.Errorf("an impossible MTU: %v", err)
	}
}

func TestSlirpCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if s, err := StartSlirp(ctx, SlirpConfig{PID: startServer(t), RunDir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", s, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
