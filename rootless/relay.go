package rootless

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// flowTime is how long a UDP client may be silent before the relay forgets it.
	flowTime = 90 * time.Second
	// maxFlows bounds the clients of a port that the relay knows at once. A new one replaces the one that is silent for
	// longest.
	maxFlows = 256
	// maxEarly bounds the datagrams of a client that wait for its connection to the container.
	maxEarly    = 16
	maxDatagram = 64 << 10
)

// DialFunc opens a UDP socket in the container's network that is connected to one of the container's ports.
type DialFunc func(ctx context.Context, port uint16) (net.Conn, error)

// relay passes datagrams of a UDP port of the host to the container, and replies back.
type relay struct {
	sock *net.UDPConn
	port uint16 // of the container

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	tasks  sync.WaitGroup // only start and run add to it

	mu     sync.Mutex
	flows  map[netip.AddrPort]*flow
	closed bool
}

// flow is one client of a relay. The relay's lock guards it.
type flow struct {
	conn  net.Conn // the container's side; nil until it has been dialed
	early [][]byte // datagrams that came before the connection
	last  time.Time
}

func newRelay(sock *net.UDPConn, port uint16) *relay {
	r := &relay{sock: sock, port: port, flows: map[netip.AddrPort]*flow{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// start begins to pass datagrams on, until the relay is closed. On a closed relay it does nothing.
func (r *relay) start(dial DialFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.tasks.Go(func() { r.run(dial) })
	}
}

// run passes datagrams on. A datagram that cannot be delivered is lost, as UDP allows.
func (r *relay) run(dial DialFunc) {
	buffer := make([]byte, maxDatagram)
	for {
		n, client, err := r.sock.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the error of an earlier reply that did not reach its client
		}
		f, conn := r.take(client, buffer[:n], dial)
		if conn == nil {
			continue
		}
		if _, err := conn.Write(buffer[:n]); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			r.drop(client, f)
		}
	}
}

// take returns the flow of a client and its connection. Where there is no connection yet, it keeps a copy of the
// datagram and starts to dial, unless that has begun: no client waits for the connection of another.
func (r *relay) take(client netip.AddrPort, datagram []byte, dial DialFunc) (*flow, net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.flows[client]
	switch {
	case r.closed:
		return nil, nil
	case f == nil:
		if len(r.flows) >= maxFlows && !r.dropOldestLocked() {
			return nil, nil
		}
		f = &flow{}
		r.flows[client] = f
		r.tasks.Go(func() { r.connect(client, f, dial) })
	}
	f.last = time.Now()
	if f.conn == nil && len(f.early) < maxEarly {
		f.early = append(f.early, bytes.Clone(datagram))
	}
	return f, f.conn
}

// connect dials for a flow, sends the datagrams that waited, and then passes replies back.
func (r *relay) connect(client netip.AddrPort, f *flow, dial DialFunc) {
	conn, err := dial(r.ctx, r.port)
	if err != nil {
		r.drop(client, f) // the next datagram of the client begins another attempt
		return
	}
	for early := r.nextEarly(client, f, conn); len(early) > 0; early = r.nextEarly(client, f, conn) {
		for _, datagram := range early {
			conn.Write(datagram) // an error loses one datagram
		}
	}
	r.reply(client, f, conn)
}

// nextEarly takes the datagrams that wait for the connection. When none are left, it gives the connection to the flow.
func (r *relay) nextEarly(client netip.AddrPort, f *flow, conn net.Conn) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	early := f.early
	f.early = nil
	switch {
	case r.closed:
		conn.Close()
		return nil
	case len(early) == 0:
		f.conn = conn
	}
	return early
}

// dropOldestLocked makes room for a flow. It spares flows that are being dialed, so maxFlows also bounds the dials. It
// returns false if there are no others.
func (r *relay) dropOldestLocked() bool {
	var oldest netip.AddrPort
	for client, f := range r.flows {
		if known := r.flows[oldest]; f.conn != nil && (known == nil || f.last.Before(known.last)) {
			oldest = client
		}
	}
	f := r.flows[oldest]
	if f == nil {
		return false
	}
	f.conn.Close()
	delete(r.flows, oldest)
	return true
}

// reply passes the container's replies back to the client, until both have been silent for flowTime.
func (r *relay) reply(client netip.AddrPort, f *flow, conn net.Conn) {
	defer r.drop(client, f)
	buffer := make([]byte, maxDatagram)
	for {
		conn.SetReadDeadline(time.Now().Add(flowTime))
		n, err := conn.Read(buffer)
		switch {
		case err == nil:
			r.sock.WriteToUDPAddrPort(buffer[:n], client) // an error means that the client has gone
			r.touch(f)
		case errors.Is(err, syscall.ECONNREFUSED): // nothing listens in the container yet
		case !r.silent(f, err):
			return
		}
	}
}

func (r *relay) touch(f *flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.last = time.Now()
}

// silent tells whether err is a timeout although the client has sent something within flowTime.
func (r *relay) silent(f *flow, err error) bool {
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(f.last) < flowTime
}

func (r *relay) drop(client netip.AddrPort, f *flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.conn != nil {
		f.conn.Close()
	}
	if r.flows[client] == f {
		delete(r.flows, client)
	}
}

// close ends the relay and waits until all its goroutines have ended.
func (r *relay) close() {
	r.stop()
	r.tasks.Wait()
}

func (r *relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.cancel()
	r.sock.Close()
	for _, f := range r.flows {
		if f.conn != nil {
			f.conn.Close()
		}
	}
}
