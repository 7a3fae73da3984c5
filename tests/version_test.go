package tests

import (
	encoding "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// oldCommand is a connection to a container's monitor that speaks the first version of the protocol.
type oldCommand struct {
	t    *testing.T
	sock net.Conn
}

// oldCommand connects to the monitor of a container.
func (u *user) oldCommand(name string) oldCommand {
	u.t.Helper()
	dir, err := os.Open(u.path("run", "rcrun", u.inspect(name).ID[:12]))
	if err != nil {
		u.t.Fatal(err)
	}
	defer dir.Close()
	sock, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/sock", dir.Fd()))
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { sock.Close() })
	return oldCommand{u.t, sock}
}

// send sends a message: the length of its text, the number of descriptors, the text.
func (o oldCommand) send(text string) {
	o.t.Helper()
	packet := append(encoding.BigEndian.AppendUint32(nil, uint32(len(text))), 0)
	if _, err := o.sock.Write(append(packet, text...)); err != nil {
		o.t.Fatal(err)
	}
}

// answer is a message of the monitor, as the first version reads it.
type answer struct {
	Kind    string
	Version int
	Body    struct {
		Code  int
		Text  string
		Error string
		Pid   int
		Class string
	}
}

func (o oldCommand) receive() (a answer) {
	o.t.Helper()
	header := make([]byte, 5)
	if _, err := io.ReadFull(o.sock, header); err != nil {
		o.t.Fatal(err)
	}
	text := make([]byte, encoding.BigEndian.Uint32(header))
	if _, err := io.ReadFull(o.sock, text); err != nil {
		o.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		o.t.Fatal(err)
	}
	return a
}

// TestCommandOfOtherVersion has a running container asked by a command of the first version of the protocol, and by one
// that knows more than this version.
func TestCommandOfOtherVersion(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "bb", "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done")
	eventually(t, "the payload is up", func() bool { return u.run("logs", "c1") == "up" })
	waiting, attached := u.oldCommand("c1"), u.oldCommand("c1")
	waiting.send(`{"kind":"wait","body":null}`)
	none := `"Streams":{"Stdin":false,"Stdout":false,"Stderr":false},"Size":{"Rows":0,"Cols":0}`
	attached.send(`{"kind":"attach","body":{` + none + `}}`)
	if a := attached.receive(); a.Kind != "started" || a.Body.Pid == 0 {
		t.Errorf("attach: %+v", a)
	}
	exec := u.oldCommand("c1")
	exec.send(`{"kind":"exec","body":{"Args":["sh","-c","exit 5"],"Env":null,"User":"","WorkingDir":"","Tty":false,` +
		`"Privileged":false,"Detach":false,` + none + `}}`)
	if started, ended := exec.receive(), exec.receive(); started.Kind != "started" || ended.Body.Code != 5 {
		t.Errorf("exec: %+v, %+v", started, ended)
	}
	missing := u.oldCommand("c1")
	missing.send(`{"kind":"exec","body":{"Args":["nothing"],` + none + `}}`)
	if a := missing.receive(); a.Kind != "failed" || a.Body.Code != 127 || !strings.Contains(a.Body.Text, "not found") {
		t.Errorf("exec of nothing: %+v", a)
	}
	newer := u.oldCommand("c1")
	newer.send(`{"version":99,"kind":"teleport","body":{}}`)
	if a := newer.receive(); a.Kind != "failed" || a.Body.Class != "not-implemented" || a.Version == 0 {
		t.Errorf("a request of tomorrow: %+v", a)
	}
	signal := u.oldCommand("c1")
	signal.send(`{"kind":"signal","body":{"Signal":15}}`)
	if a := signal.receive(); a.Kind != "done" {
		t.Errorf("signal: %+v", a)
	}
	for name, o := range map[string]oldCommand{"wait": waiting, "attach": attached} {
		if a := o.receive(); a.Kind != "exited" || a.Body.Code != 7 {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
