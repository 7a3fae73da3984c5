package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/wire"
)

// protocol1 is what commands and monitors of the first version of the protocol send, as they sent it: a request by its
// kind, and the answers to it; those to a request that the monitor does not know by "".
type protocol1 struct {
	Requests map[string]string
	Answers  map[string][]string
}

func readProtocol1(t *testing.T) (p protocol1) {
	t.Helper()
	text, err := os.ReadFile("testdata/protocol1.json")
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// frame is a message without descriptors as it goes over the socket.
func frame(text string) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), 0), text...)
}

// readFrame reads a message, whose descriptors it drops.
func readFrame(sock net.Conn) (text string, err error) {
	header := make([]byte, 5)
	if _, err := io.ReadFull(sock, header); err != nil {
		return "", err
	}
	body := make([]byte, binary.BigEndian.Uint32(header))
	_, err = io.ReadFull(sock, body)
	return string(body), err
}

// answerAs serves a connection as a monitor that gives these answers.
func answerAs(sock net.Conn, answers map[string][]string) {
	defer sock.Close()
	text, err := readFrame(sock)
	var request wire.Message
	if err != nil || json.Unmarshal([]byte(text), &request) != nil {
		return
	}
	all, known := answers[request.Kind]
	if !known {
		all = answers[""]
	}
	for _, answer := range all {
		sock.Write(frame(strings.ReplaceAll(answer, "KIND", request.Kind)))
	}
	readFrame(sock) // until the command has gone
}

// useMonitor does what every version of a monitor can do.
func useMonitor(t *testing.T, c *Container) {
	t.Helper()
	ctx := t.Context()
	if exit, err := c.Wait(ctx); err != nil || exit.Code != 3 {
		t.Errorf("wait: %+v, %v", exit, err)
	}
	if err := c.Signal(ctx, syscall.SIGTERM); err != nil {
		t.Errorf("signal: %v", err)
	}
	if release, err := c.Hold(ctx, true); err != nil {
		t.Errorf("hold: %v", err)
	} else {
		release()
	}
	for name, begin := range map[string]func(context.Context) (*Session, error){
		"attach": func(ctx context.Context) (*Session, error) { return c.Attach(ctx, Streams{}, WinSize{}) },
		"exec": func(ctx context.Context) (*Session, error) {
			return c.Exec(ctx, ExecOptions{Args: []string{"true"}}, Streams{})
		},
	} {
		session, err := begin(ctx)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if exit, err := session.Wait(ctx); err != nil || exit.Code != 3 {
			t.Errorf("%s: %+v, %v", name, exit, err)
		}
		session.Close()
	}
}

// A command of this version does with a monitor of the first one what that can, and says of the rest what to do.
func TestOldMonitor(t *testing.T) {
	p := readProtocol1(t)
	c := serveSockets(t, func(sock *net.UnixConn) { answerAs(sock, p.Answers) })
	useMonitor(t, c)
	if err := c.Stop(t.Context(), StopOptions{}); err != nil {
		t.Errorf("stop: %v", err)
	}
	_, err := c.CreateExec(t.Context(), ExecOptions{Args: []string{"true"}})
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "stop the container and start it again") {
		t.Errorf("a request that it does not know: %v", err)
	}
}

// A monitor of the next version says more than this version knows.
func TestNewerMonitor(t *testing.T) {
	answers := readProtocol1(t).Answers
	for kind, all := range answers {
		for i, text := range all {
			text = strings.Replace(text, `{"kind"`, `{"version":3,"kind"`, 1)
			all[i] = strings.Replace(text, `"Code"`, `"New":true,"Code"`, 1)
		}
		if kind == msgAttach || kind == msgExec {
			answers[kind] = append(all[:1:1], `{"kind":"new","body":{}}`, all[1])
		}
	}
	answers[""] = []string{`{"version":3,"kind":"failed","body":{"text":"no","whole":true,"class":"not-implemented"}}`}
	c := serveSockets(t, func(sock *net.UnixConn) { answerAs(sock, answers) })
	useMonitor(t, c)
	_, err := c.CreateExec(t.Context(), ExecOptions{Args: []string{"true"}})
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "speaks version 3 of the protocol") {
		t.Errorf("a request that it knows no more: %v", err)
	}
}

// A monitor of this version knows all that a command of the first one asks for.
func TestRequestsOfOldCommand(t *testing.T) {
	known := (&monitor{}).requests()
	bodies := map[string]any{msgAttach: &attachRequest{}, msgExec: &ExecOptions{}, msgSignal: &signalRequest{}}
	for kind, text := range readProtocol1(t).Requests {
		var request wire.Message
		if err := json.Unmarshal([]byte(text), &request); err != nil {
			t.Fatal(err)
		}
		if known[kind] == nil {
			t.Errorf("%s is not known", kind)
		}
		if body := bodies[kind]; body != nil {
			if err := decodeRequest(request, body); err != nil {
				t.Error(err)
			}
		}
	}
}

// A monitor of this version refuses what a command of the next one asks for and it does not know.
func TestRequestsOfNewerCommand(t *testing.T) {
	for kind, body := range map[string]string{
		"new":     `{}`,
		msgExec:   `{"Args":["true"],"New":1}`,
		msgStop:   `{"New":1}`,
		msgSignal: `{"Signal":1,"New":1}`,
		msgAttach: `{"New":1}`,
	} {
		command, ours := conversation(t)
		(&monitor{}).dispatch(ours, wire.Message{Kind: kind, Version: 3, Body: json.RawMessage(body)})
		if _, err := receive(command, msgDone); !errdefs.IsNotImplemented(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
