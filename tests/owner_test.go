package tests

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/tests/patience"
	"golang.org/x/sys/unix"
)

// strangerEnv makes a copy of the tests, as root of a user namespace, somebody else who meets the socket of a
// container in the working directory: "connects" or "listens".
const strangerEnv = "RCRUN_STRANGER"

// listening is what the stranger prints when it does.
const listening = "listening"

// beStranger prints what came of it.
func beStranger(what string) int {
	answer, err := map[string]func() (string, error){"connects": killAsStranger, "listens": listenAsStranger}[what]()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(answer)
	return 0
}

// becomeStranger makes the process that of a subordinate id.
func becomeStranger() error { return syscall.Setresuid(1, 1, 1) }

// killAsStranger asks the monitor to kill the container, and returns the kind of its answer.
func killAsStranger() (string, error) {
	if err := becomeStranger(); err != nil {
		return "", err
	}
	sock, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: "sock", Net: "unix"})
	if err != nil {
		return "", err
	}
	conn := wire.New(sock)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience.Of(patience.Usual)))
	if err := conn.Send("signal", map[string]any{"Signal": 9}); err != nil {
		return "nothing", nil
	}
	if m, err := conn.Recv(); err == nil {
		return m.Kind, nil
	}
	return "nothing", nil
}

// listenAsStranger takes the monitor's place, and returns the kind of what a command tells it.
func listenAsStranger() (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", err
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: "sock"}), becomeStranger(),
		unix.Listen(fd, 1)); err != nil {
		return "", err
	}
	fmt.Println(listening)
	peer, _, err := unix.Accept(fd)
	if err != nil {
		return "", err
	}
	conn, err := wire.FromFile(os.NewFile(uintptr(peer), "sock"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience.Of(patience.Usual)))
	if m, err := conn.Recv(); err == nil {
		return m.Kind, nil
	}
	return "nothing", nil
}

// stranger is the command of a copy of the tests in the directory of a socket.
func (u *user) stranger(what, dir string) string {
	u.t.Helper()
	self, err := os.Executable()
	if err != nil {
		u.t.Fatal(err)
	}
	return fmt.Sprintf("cd %s; %s=%s exec %s", dir, strangerEnv, what, self)
}

// socketDir starts the container c1 and returns the directory of its socket.
func (u *user) socketDir() string {
	u.t.Helper()
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	sockets, err := filepath.Glob(u.path("run", "rcrun", "*", "sock"))
	if err != nil || len(sockets) != 1 {
		u.t.Fatalf("the sockets are %v, %v", sockets, err)
	}
	return filepath.Dir(sockets[0])
}

// TestStrangerConnects lets another user through to the monitor's socket.
func TestStrangerConnects(t *testing.T) {
	u := newUserWithImage(t)
	dir := u.socketDir()
	if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(filepath.Join(dir, "sock"), 0o666)); err != nil {
		t.Fatal(err)
	}
	if got := u.asRoot(u.stranger("connects", dir)); got != "nothing" {
		t.Errorf("the monitor answered %q to another user", got)
	}
	u.prints("alive", "exec", "c1", "echo", "alive")
}

// TestStrangerListens has another user listen in the monitor's place.
func TestStrangerListens(t *testing.T) {
	u := newUserWithImage(t)
	dir := u.socketDir()
	sock, mine := filepath.Join(dir, "sock"), filepath.Join(dir, "mine")
	if err := errors.Join(os.Rename(sock, mine), os.Chmod(dir, 0o711)); err != nil {
		t.Fatal(err)
	}
	listener := u.command("unshare", "--user", "--map-root-user", "--map-auto", "sh", "-euc",
		u.stranger("listens", dir))
	stdout, err := listener.StdoutPipe()
	if err == nil {
		err = listener.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != listening {
		t.Fatalf("the other user: %q, %v", lines.Text(), listener.Wait())
	}
	u.fails(125, []string{"c1", "not of the current user"}, "exec", "-e", "TOKEN=hunter2", "c1", "true")
	if !lines.Scan() || lines.Text() != "nothing" {
		t.Errorf("another user heard %q", lines.Text())
	}
	if err := errors.Join(listener.Wait(), os.Rename(mine, sock)); err != nil {
		t.Fatal(err)
	}
	u.prints("alive", "exec", "c1", "echo", "alive")
}

// TestForeignDirectories names directories of state that are another user's, or that others may write to.
func TestForeignDirectories(t *testing.T) {
	u := newUserWithImage(t)
	u.asRoot(`mkdir ../foreign ../foreign/rcrun; chmod 777 ../foreign ../foreign/rcrun; chown -R 1 ../foreign`)
	t.Cleanup(func() { u.asRoot(`chown -R 0 ../foreign`) })
	foreign := u.path("foreign")

	u.setenv("XDG_RUNTIME_DIR", foreign)
	for _, command := range [][]string{{"ps"}, {"run", "--rm", "bb", "true"}, {"images"}, {"info"},
		{"--root", u.path("home", "new"), "ps"}} {
		u.fails(125, []string{"XDG_RUNTIME_DIR", foreign, "is not owned by the current user", "unset"}, command...)
	}
	u.fails(125, []string{"XDG_RUNTIME_DIR", foreign, "is not owned by the current user", "--authfile"}, "login", "-u",
		"me", "-p", "secret", "localhost:1")
	if got := u.entries("foreign", "rcrun"); len(got) > 0 {
		t.Errorf("in the other user's directory there are %q", got)
	}
	u.setenv("XDG_RUNTIME_DIR", u.path("run"))

	u.fails(125, []string{foreign, "is not owned by the current user"}, "--root", foreign, "ps")
	u.fails(125, []string{foreign + "/rcrun", "is not owned by the current user"}, "--runroot", foreign+"/rcrun", "ps")
	u.setenv("XDG_DATA_HOME", foreign)
	u.fails(125, []string{foreign + "/rcrun", "is not owned by the current user"}, "ps")
	u.setenv("XDG_DATA_HOME", "")

	parent := u.path("parent")
	u.asRoot(`mkdir ../parent; chmod 777 ../parent`)
	u.setenv("XDG_DATA_HOME", parent)
	u.fails(125, []string{"other users may write to " + parent, "chmod o-w " + parent}, "ps")
	if got := u.entries("parent"); len(got) > 0 {
		t.Errorf("where others may write there are %q", got)
	}
	u.asRoot(`chmod 1777 ../parent`)
	u.run("ps")
	u.setenv("XDG_DATA_HOME", "")

	u.inHome(`mkdir open open/storage; chmod 770 open`)
	u.fails(125, []string{u.path("home", "open"), "chmod go-w"}, "--root", u.path("home", "open"), "ps")
	u.inHome(`chmod 700 open; chmod 707 open/storage`)
	u.fails(125, []string{u.path("home", "open", "storage"), "chmod go-w"}, "--root", u.path("home", "open"), "images")
	u.setenv("XDG_RUNTIME_DIR", u.path("home", "open"))
	u.inHome(`chmod 770 open`)
	u.fails(125, []string{"XDG_RUNTIME_DIR", "chmod go-w"}, "ps")

	u.asRoot(`ln -s ../home/real ../foreign/link; chown -h 1 ../foreign/link; mkdir real`)
	u.setenv("XDG_RUNTIME_DIR", u.path("run"))
	u.fails(125, []string{"symbolic link of another user"}, "--root", foreign+"/link", "ps")
}
