package rootless

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
)

// errTaken says that somebody else has a port.
var errTaken = fault.Errorf(errdefs.ErrConflict, "port is already allocated")

// publish forwards ports into the container, in their order. What was published before an error ends with s.
func (s *Slirp) publish(ctx context.Context, ports []PortMapping) error {
	for _, p := range ports {
		published, err := s.publishOne(ctx, p)
		if err != nil {
			return fmt.Errorf("publish port: %w", err)
		}
		s.ports = append(s.ports, published)
	}
	return nil
}

// publishOne publishes on the first candidate that nobody has. Whether somebody has it is decided by binding it, so two
// containers that look for a port at once get different ones.
func (s *Slirp) publishOne(ctx context.Context, p PortMapping) (PortMapping, error) {
	var err error
	for _, candidate := range p.candidates() {
		if candidate, err = candidate.probe(); err == nil {
			err = s.bind(ctx, candidate)
		}
		if !errors.Is(err, errTaken) {
			return candidate, err
		}
	}
	if p.isRange() {
		err = fault.Errorf(errdefs.ErrConflict, "bind for %s failed: every port of the range is already allocated",
			p.hostAddress())
	}
	return p, err
}

// bind has slirp4netns forward a port, or relays it here, where slirp4netns would lose the replies: it does not let the
// container send to the host's loopback addresses, and takes replies to them for that.
func (s *Slirp) bind(ctx context.Context, p PortMapping) error {
	if p.Protocol == "udp" && p.onLoopback() {
		return s.addRelay(p, false)
	}
	if err := s.forward(ctx, p); err != nil {
		if _, busy := p.probe(); busy != nil {
			return busy // taken since it was tried
		}
		return fmt.Errorf("%s: %w", p, err)
	}
	if p.Protocol == "udp" && p.HostIP == "" {
		p.HostIP = "127.0.0.1"
		return s.addRelay(p, true)
	}
	return nil
}

// addRelay binds a UDP port here. It is shared with slirp4netns where that has it on every address: the kernel prefers
// the socket that has the very address.
func (s *Slirp) addRelay(p PortMapping, shared bool) error {
	config := net.ListenConfig{}
	if shared {
		config.Control = func(_, _ string, conn syscall.RawConn) error { return setReuse(conn, 1) }
	}
	sock, err := config.ListenPacket(context.Background(), "udp4", p.hostAddress())
	if err != nil {
		return p.explain(err)
	}
	udp := sock.(*net.UDPConn)
	if shared { // with nobody else
		raw, err := udp.SyscallConn()
		if err == nil {
			err = setReuse(raw, 0)
		}
		if err != nil {
			udp.Close()
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	s.relays = append(s.relays, newRelay(udp, p.ContainerPort))
	return nil
}

// setReuse sets whether others may bind the address of a socket, if they allow it, too.
func setReuse(conn syscall.RawConn, value int) (err error) {
	controlErr := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, value)
	})
	return errors.Join(controlErr, err)
}
