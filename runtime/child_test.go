package runtime

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/tests/patience"
)

// When a child has reported the end of a program, its parent writes the next one, which may move the control socket.
// The child may not yet wait for that program: here the socket is full, so that the child continues after the parent.
func TestChildIsLateForTheNextProgram(t *testing.T) {
	for range 20 {
		lateChild(t)
	}
}

func lateChild(t *testing.T) {
	const most, socket = 2048, 200 // messages, more than a socket holds; descriptor
	p, err := newProgram(most+1, 4096)
	must(t, err)
	p.control = p.add("copy the socket", unix.SYS_DUP3, 0, socket, 0)
	message := p.data([]byte{0})
	for range most {
		p.add("fill the socket", unix.SYS_SENDTO, socket, message, 1, unix.MSG_DONTWAIT).tolerate(unix.EAGAIN)
	}
	c, err := fork(p, 0, runAndServe)
	must(t, err)
	defer c.pidfd.Close()
	defer c.discard()
	waitForCall(t, c.pid, unix.SYS_WRITE)

	must(t, readMessage(c))
	p.header().control = -1 // as if the next program had another
	for err == nil {
		err = readMessage(c)
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	waitForCall(t, c.pid, unix.SYS_READ)
	p.reset()
	p.add("exit", unix.SYS_EXIT_GROUP, 0)
	if _, err := c.control.Write([]byte{0}); err != nil {
		t.Error("wake the child: ", err)
	}
}

func readMessage(c *child) error {
	_, err := unix.Read(int(c.control.Fd()), make([]byte, 1))
	return err
}

// waitForCall waits until a process is in a system call.
func waitForCall(t *testing.T, pid int, number int) {
	t.Helper()
	file := fmt.Sprintf("/proc/%d/syscall", pid)
	for w := patience.Begin(patience.Usual); !w.Over(); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(file)
		must(t, err)
		if strings.HasPrefix(string(text), fmt.Sprintf("%d ", number)) {
			return
		}
	}
	t.Fatalf("process %d does not come to system call %d", pid, number)
}
