// Package wire lets the processes of a container speak to each other: they send typed, length-prefixed JSON messages
// over a Unix stream socket, each with the file descriptors that it names. Both sides know the order of the messages; a
// message of an unexpected kind is an error. Every error is sent in one form (Error), as a message of a kind of its
// own: it reaches the user with its text, stage, operation, path and errno, and a caller with its class and exit code.
//
// A monitor runs for as long as its container does, so the two ends may be of different versions of the program. The
// first message of each end says which version of the protocol it speaks (PeerVersion). What a request means does not
// change between versions: what is new is a request of a new kind, or a field that is left out where it is not needed.
// A receiver refuses a request, or a field of one, that it does not know (errdefs.ErrNotImplemented), because it would
// do something else than was asked for. Then the sender says what to do.
//
// The socket is a stream socket, because an OCI specification with its seccomp profile may be larger than a packet that
// fits into a socket buffer.
package wire

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	headerSize = 5 // length of the JSON in 4 bytes, big endian, then the number of file descriptors in one
	maxMessage = 16 << 20
	maxFiles   = 16
	kindError  = "failed" // Error
)

// Version is the version of the protocol that this program speaks. The first version told no number; its requests are
// start, attach, exec, signal, wait and freeze.
const Version = 2

// Decode decodes the body of the message into body, unless that is nil.
func (m Message) Decode(body any) error {
	if body == nil {
		return nil
	}
	if err := json.Unmarshal(m.Body, body); err != nil {
		return fmt.Errorf("decode %s message: %w", m.Kind, err)
	}
	return nil
}

// Conn is one end of a connection. Any number of goroutines may call Send and Recv; each of the two handles one message
// at a time.
type Conn struct {
	sock *net.UnixConn
	send sync.Mutex
	recv sync.Mutex

	begun atomic.Bool  // a message was sent
	peer  atomic.Int64 // the version of the other end, 0 as long as it has said nothing
}

// Message is what Recv returns. The receiver owns Files and must close them.
type Message struct {
	Kind    string          `json:"kind"`
	Version int             `json:"version,omitempty"` // of the protocol; in the first message of each end
	Body    json.RawMessage `json:"body,omitempty"`
	Files   []*os.File      `json:"-"`
}

// Pair returns a connected pair: one end to speak through, and the other as a file for a child to inherit. The caller
// closes the file once the child has it.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "wire")
	ours, err := FromFile(os.NewFile(uintptr(fds[0]), "wire"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// FromFile speaks over a connected Unix stream socket. It owns the file, also when it fails.
func FromFile(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open inherited socket: %w", err)
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("open inherited socket: not a Unix socket")
	}
	return New(sock), nil
}

// New speaks over sock and owns it.
func New(sock *net.UnixConn) *Conn { return &Conn{sock: sock} }

// PeerVersion is the version of the protocol that the other end speaks, or 0 as long as it has said nothing.
func (c *Conn) PeerVersion() int { return int(c.peer.Load()) }

// SetDeadline bounds all sending and receiving from now on; the zero time means no bound.
func (c *Conn) SetDeadline(t time.Time) error { return c.sock.SetDeadline(t) }

// Within runs talk, which sends and receives. If ctx ends before talk does, the connection is closed, talk fails, and
// the error is that of ctx.
func (c *Conn) Within(ctx context.Context, talk func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err := talk()
	if !stop() && err != nil {
		return context.Cause(ctx)
	}
	return err
}

// Close closes the connection; Recv on the other side returns io.EOF.
func (c *Conn) Close() error { return c.sock.Close() }

// Send sends one message with the files that it names. The caller keeps the files.
func (c *Conn) Send(kind string, body any, files ...*os.File) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode %s message: %w", kind, err)
	}
	message := Message{Kind: kind, Body: raw}
	if c.begun.CompareAndSwap(false, true) {
		message.Version = Version
	}
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode %s message: %w", kind, err)
	}
	if len(text) > maxMessage || len(files) > maxFiles {
		return fmt.Errorf("send %s message: %d bytes with %d files is too much", kind, len(text), len(files))
	}
	packet := make([]byte, headerSize, headerSize+len(text))
	binary.BigEndian.PutUint32(packet, uint32(len(text)))
	packet[4] = byte(len(files))
	packet = append(packet, text...)

	fds, err := descriptors(files)
	if err != nil {
		return fmt.Errorf("send %s message: %w", kind, err)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	c.send.Lock()
	defer c.send.Unlock()
	// The descriptors are sent with the first bytes; the rest may take several writes.
	n, _, err := c.sock.WriteMsgUnix(packet, rights, nil)
	if err == nil && n < len(packet) {
		_, err = c.sock.Write(packet[n:])
	}
	if err != nil {
		return fmt.Errorf("send %s message: %w", kind, err)
	}
	return nil
}

// Recv returns the next message, or io.EOF if the other side has closed the connection between two messages.
func (c *Conn) Recv() (_ Message, err error) {
	c.recv.Lock()
	defer c.recv.Unlock()
	header := make([]byte, headerSize)
	rights := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, rightsLen, flags, _, err := c.sock.ReadMsgUnix(header, rights)
	if errors.Is(err, io.EOF) || err == nil && n == 0 {
		return Message{}, io.EOF
	}
	if err != nil {
		return Message{}, fmt.Errorf("receive message: %w", err)
	}
	files, err := parseRights(rights[:rightsLen])
	defer func() {
		if err != nil {
			CloseFiles(files)
		}
	}()
	if err != nil {
		return Message{}, err
	}
	if _, err := io.ReadFull(c.sock, header[n:]); err != nil {
		return Message{}, fmt.Errorf("receive message: %w", err)
	}
	size := binary.BigEndian.Uint32(header)
	if size > maxMessage || flags&unix.MSG_CTRUNC != 0 || int(header[4]) != len(files) {
		return Message{}, fmt.Errorf("receive message: malformed (%d bytes, %d of %d files)", size, len(files),
			header[4])
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(c.sock, text); err != nil {
		return Message{}, fmt.Errorf("receive message: %w", err)
	}
	m := Message{}
	if err := json.Unmarshal(text, &m); err != nil {
		return Message{}, fmt.Errorf("receive message: %w", err)
	}
	m.Files = files
	c.peer.CompareAndSwap(0, int64(max(m.Version, 1)))
	return m, nil
}

// Expect receives a message of the given kind, decodes its body into body (unless that is nil) and returns its files,
// of which there must be exactly want. It returns an error message as the *Error that it carries.
func (c *Conn) Expect(kind string, body any, want int) ([]*os.File, error) {
	m, err := c.Recv()
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w", kind, err)
	}
	if err := m.Expect(kind); err != nil {
		return nil, err
	}
	if len(m.Files) != want {
		CloseFiles(m.Files)
		return nil, fmt.Errorf("wait for %s: got %d files, want %d", kind, len(m.Files), want)
	}
	if err := m.Decode(body); err != nil {
		CloseFiles(m.Files)
		return nil, err
	}
	return m.Files, nil
}

// IsError tells whether the message carries an *Error, which Expect returns.
func (m *Message) IsError() bool { return m.Kind == kindError }

// Expect checks the kind of a message, and closes its files if the kind is another. It returns an error message as the
// *Error that it carries.
func (m *Message) Expect(kind string) error {
	if m.Kind == kind {
		return nil
	}
	CloseFiles(m.Files)
	m.Files = nil
	if m.Kind == kindError {
		return decodeError(m.Body)
	}
	return fmt.Errorf("wait for %s: got %s", kind, m.Kind)
}

// descriptors returns the files' descriptors like File.Fd, but without making them blocking.
func descriptors(files []*os.File) ([]int, error) {
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return nil, err
		}
	}
	return fds, nil
}

func parseRights(rights []byte) ([]*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	controls, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, fmt.Errorf("receive file descriptors: %w", err)
	}
	var files []*os.File
	for i := range controls {
		fds, err := unix.ParseUnixRights(&controls[i])
		if err != nil {
			continue // another kind of control message, which has no descriptors
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// CloseFiles closes files, of which some may be nil.
func CloseFiles(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
