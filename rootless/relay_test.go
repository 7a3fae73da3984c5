package rootless

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
)

// testRelay relays a UDP port of the host to a server that answers each datagram with its text in capitals.
type testRelay struct {
	*relay
	server net.Addr
}

func startRelay(t *testing.T, dial func(r testRelay) DialFunc) testRelay {
	t.Helper()
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		buffer := make([]byte, 100)
		for {
			n, client, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			server.WriteTo([]byte(strings.ToUpper(string(buffer[:n]))), client)
		}
	}()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := testRelay{newRelay(sock, 80), server.LocalAddr()}
	t.Cleanup(r.close)
	r.start(dial(r))
	return r
}

// client is a program on the host that sends to the relay's port.
func (r testRelay) client(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp4", r.sock.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience.Of(30 * time.Second)))
	buffer := make([]byte, 100)
	if n, err := conn.Read(buffer); err != nil || string(buffer[:n]) != text {
		t.Errorf("received %q, %v; want %q", buffer[:n], err, text)
	}
}

// A slow connection into the container delays neither other clients nor the end of the relay, and the datagrams that
// its client sends meanwhile are not lost.
func TestRelayWhileDialing(t *testing.T) {
	first := make(chan struct{})
	var dials atomic.Int32
	r := startRelay(t, func(r testRelay) DialFunc {
		return func(ctx context.Context, port uint16) (net.Conn, error) {
			if port != 80 {
				t.Errorf("dialed port %d", port)
			}
			if dials.Add(1) == 1 {
				<-first
			}
			return net.Dial("udp4", r.server.String())
		}
	})
	slow, quick := r.client(t), r.client(t)
	send(t, slow, "one")
	patience.Eventually(t, "the first client is dialed for", func() bool { return dials.Load() == 1 })
	send(t, slow, "two")
	send(t, quick, "three")
	expect(t, quick, "THREE")
	close(first)
	expect(t, slow, "ONE")
	expect(t, slow, "TWO")
	send(t, slow, "four")
	expect(t, slow, "FOUR")
	if n := dials.Load(); n != 2 {
		t.Errorf("dialed %d times for two clients", n)
	}
}

func TestRelayClosedWhileDialing(t *testing.T) {
	dialing := make(chan struct{})
	r := startRelay(t, func(testRelay) DialFunc {
		return func(ctx context.Context, _ uint16) (net.Conn, error) {
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	send(t, r.client(t), "one")
	patience.Closed(t, "the client is dialed for", dialing)
	r.close()
	if len(r.flows) != 0 {
		t.Errorf("flows are left: %v", r.flows)
	}
}

func TestRelayDialsAgain(t *testing.T) {
	var dials atomic.Int32
	r := startRelay(t, func(r testRelay) DialFunc {
		return func(context.Context, uint16) (net.Conn, error) {
			if dials.Add(1) == 1 {
				return nil, errors.New("the container does not answer")
			}
			return net.Dial("udp4", r.server.String())
		}
	})
	client := r.client(t)
	send(t, client, "lost")
	patience.Eventually(t, "the failure is noticed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return dials.Load() == 1 && len(r.flows) == 0
	})
	send(t, client, "two")
	expect(t, client, "TWO")
}
