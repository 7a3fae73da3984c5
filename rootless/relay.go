package rootless

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// flowTime is how long a UDP client may be silent before it counts as gone, and its next datagram as a new
	// client's.
	flowTime = 90 * time.Second
	// maxFlows bounds the clients of a port that are known at once; the one that is silent for longest makes room.
	maxFlows    = 256
	maxDatagram = 64 << 10
)

// DialFunc opens a UDP socket in the container's network that is connected to one of the container's ports.
type DialFunc func(port uint16) (net.Conn, error)

// relay passes datagrams of a UDP port of the host on to the container, and the replies back.
type relay struct {
	sock *net.UDPConn
	port uint16 // of the container

	mu     sync.Mutex
	flows  map[netip.AddrPort]*flow
	closed bool
}

// flow is one client of a relay.
type flow struct {
	conn net.Conn // the container's side
	last time.Time
}

func newRelay(sock *net.UDPConn, port uint16) *relay {
	return &relay{sock: sock, port: port, flows: map[netip.AddrPort]*flow{}}
}

// run passes datagrams on until the relay is closed. One that cannot be is lost, as datagrams may be.
func (r *relay) run(dial DialFunc) {
	buffer := make([]byte, maxDatagram)
	for {
		n, client, err := r.sock.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of a reply that did not reach its client
		}
		if f := r.flowOf(client, dial); f != nil {
			if _, err := f.conn.Write(buffer[:n]); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
				r.drop(client, f)
			}
		}
	}
}

// flowOf returns the flow of a client; nil where the container cannot be reached.
func (r *relay) flowOf(client netip.AddrPort, dial DialFunc) *flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flows[client]; f != nil {
		f.last = time.Now()
		return f
	}
	if r.closed {
		return nil
	}
	if len(r.flows) >= maxFlows {
		r.dropOldestLocked()
	}
	conn, err := dial(r.port)
	if err != nil {
		return nil
	}
	f := &flow{conn: conn, last: time.Now()}
	r.flows[client] = f
	go r.reply(client, f)
	return f
}

func (r *relay) dropOldestLocked() {
	var oldest netip.AddrPort
	for client, f := range r.flows {
		if known := r.flows[oldest]; known == nil || f.last.Before(known.last) {
			oldest = client
		}
	}
	r.flows[oldest].conn.Close()
	delete(r.flows, oldest)
}

// reply passes what the container answers back to the client, until neither has said anything for a while.
func (r *relay) reply(client netip.AddrPort, f *flow) {
	defer r.drop(client, f)
	buffer := make([]byte, maxDatagram)
	for {
		f.conn.SetReadDeadline(time.Now().Add(flowTime))
		n, err := f.conn.Read(buffer)
		switch {
		case err == nil:
			r.sock.WriteToUDPAddrPort(buffer[:n], client) // a client that has gone takes no reply
			r.touch(f)
		case errors.Is(err, syscall.ECONNREFUSED): // nobody listens in the container yet
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

// silent tells whether err is that nothing was received in time, although the client has sent something meanwhile.
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
	f.conn.Close()
	if r.flows[client] == f {
		delete(r.flows, client)
	}
}

func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.sock.Close()
	for _, f := range r.flows {
		f.conn.Close()
	}
}
