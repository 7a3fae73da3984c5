package runtime

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// dialTime bounds how long the sandbox may take to make a socket.
const dialTime = 5 * time.Second

// dialRequest tells where to connect a UDP socket.
type dialRequest struct {
	Address netip.AddrPort // of IPv4
}

// DialUDP returns a socket in the container's network that is connected to an IPv4 address there.
func (c *Container) DialUDP(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	conn, theirs, err := wire.Pair()
	if err != nil {
		return nil, fmt.Errorf("dial %s in the container: %w", address, err)
	}
	defer conn.Close()
	defer theirs.Close()
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if err := c.sandbox.conn.Send(msgDial, dialRequest{address}, theirs); err != nil {
		return nil, fmt.Errorf("dial %s in the container: %w", address, err)
	}
	theirs.Close() // so that this side sees the end of the sandbox
	var files []*os.File
	err = conn.Within(ctx, func() (err error) {
		files, err = conn.Expect(msgDialed, nil, 1)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s in the container: %w", address, err)
	}
	defer files[0].Close()
	return net.FileConn(files[0])
}

// dial answers one request for a socket over a wire of its own.
func (s *sandbox) dial(m wire.Message) {
	conn, err := wire.FromFile(m.Files[0])
	if err != nil {
		return // the creator sees the end of the wire
	}
	defer conn.Close()
	var request dialRequest
	err = m.Decode(&request)
	var sock *os.File
	if err == nil {
		err = s.inside(unix.CLONE_NEWNET, false, func() (err error) {
			sock, err = connectUDP(request.Address)
			return err
		})
	}
	if err != nil {
		// A creator that has gone needs no answer.
		conn.SendError(stageSandbox, wire.Errorf(stageSandbox, "connect", request.Address.String(), err))
		return
	}
	defer sock.Close()
	conn.Send(msgDialed, nil, sock)
}

// connectUDP makes a socket in the calling thread's network.
func connectUDP(to netip.AddrPort) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), to.String()), nil
}
