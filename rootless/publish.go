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

// errTaken is the error of a port that another socket has.
var errTaken = fault.Errorf(errdefs.ErrConflict, "port is already allocated")

// publish forwards ports into the container, in their order. After an error the caller must close s, which ends what
// was published before.
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

// publishOne publishes on the first candidate that is free. A candidate is free if it can be bound, so two containers
// that look for a port at once get different ones.
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

// bind has slirp4netns forward a port. It relays the port here where slirp4netns would lose the replies: slirp4netns
// does not let the container send to loopback addresses of the host, and takes replies to such clients for that.
func (s *Slirp) bind(ctx context.Context, p PortMapping) error {
	if p.Protocol == "udp" && p.onLoopback() {
		return s.addRelay(p, false)
	}
	if err := s.forward(ctx, p); err != nil {
		if _, busy := p.probe(); busy != nil {
			return busy // another process has taken it since the probe
		}
		return fmt.Errorf("%s: %w", p, err)
	}
	if p.Protocol == "udp" && p.HostIP == "" {
		p.HostIP = "127.0.0.1"
		return s.addRelay(p, true)
	}
	return nil
}

// addRelay binds a UDP port here. With shared, slirp4netns has the same port on every address; the kernel prefers the
// socket that is bound to the exact address.
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
	if shared { // from now on no other socket may share it
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

// setReuse sets whether other sockets that allow it, too, may bind the same address.
func setReuse(conn syscall.RawConn, value int) (err error) {
	controlErr := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, value)
	})
	return errors.Join(controlErr, err)
}
