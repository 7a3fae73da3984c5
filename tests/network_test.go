package tests

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestNetworks(t *testing.T) {
	u := newUserWithImage(t)
	u.prints("lo", "run", "--rm", "--network", "none", "bb", "ls", "/sys/class/net")
	contains(t, u.run("run", "--rm", "--network", "none", "bb", "ip", "addr", "show", "lo"), "127.0.0.1", "UP")
	for _, flags := range [][]string{{}, {"--network", "slirp4netns"}} {
		args := append(append([]string{"run", "--rm"}, flags...), "bb", "sh", "-c", "ls /sys/class/net; ip addr show eth0; ip route; cat /etc/resolv.conf; ping -c 1 10.0.2.2")
		contains(t, u.run(args...), "eth0\nlo\n", "10.0.2.100/24", "mtu 65520", "default via 10.0.2.2", "nameserver 10.0.2.3", "1 packets received")
	}
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	u.prints(host, "run", "--rm", "--network", "host", "bb", "readlink", "/proc/self/ns/net")
	u.fails(125, []string{"no-such-network"}, "run", "--rm", "--network", "no-such-network", "bb", "true")
	u.fails(125, []string{"publish"}, "run", "--rm", "--network", "none", "-p", "8080:80", "bb", "true")
}

// TestHostLoopbackIsOutOfReach checks that services on 127.0.0.1 of the host are not reached through the gateway.
func TestHostLoopbackIsOutOfReach(t *testing.T) {
	u := newUserWithImage(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if r := u.try("run", "--rm", "bb", "nc", "-w", "2", "10.0.2.2", fmt.Sprint(port)); r.code == 0 {
		t.Error("the container reaches 127.0.0.1 of the host")
	}
}

func TestPublish(t *testing.T) {
	u := newUserWithImage(t)
	port := freePort(t)
	u.run("run", "-d", "--name", "c1", "-p", fmt.Sprintf("127.0.0.1:%d:80", port), "-p", "127.0.0.1::81", "bb", "sh", "-c",
		"nc -ll -p 81 -e echo second & nc -ll -p 80 -e echo first")
	if got := u.dial("127.0.0.1", port); got != "first\n" {
		t.Errorf("the published port answers %q", got)
	}
	bindings := u.inspect("c1").NetworkSettings.Ports["81/tcp"]
	if len(bindings) != 1 || bindings[0].HostIP != "127.0.0.1" || bindings[0].HostPort == "0" {
		t.Fatalf("port 81 is published on %+v", bindings)
	}
	var picked int
	fmt.Sscan(bindings[0].HostPort, &picked)
	if got := u.dial("127.0.0.1", picked); got != "second\n" {
		t.Errorf("the port that was picked answers %q", got)
	}
	contains(t, u.run("ps"), fmt.Sprintf("127.0.0.1:%d->80/tcp", port))

	spec := fmt.Sprintf("127.0.0.1:%d:80", port)
	u.fails(125, []string{"port is already allocated"}, "run", "--name", "d1", "-p", spec, "bb", "true")
	u.fails(125, []string{"net.ipv4.ip_unprivileged_port_start"}, "run", "--name", "e1", "-p", "1:80", "bb", "true")
	u.fails(125, []string{"99999"}, "run", "--name", "f1", "-p", "99999:80", "bb", "true")
	u.run("rm", "-f", "c1")
	// The port is free again, and comes back with the container.
	u.run("run", "-d", "--name", "g1", "-p", spec, "bb", "nc", "-ll", "-p", "80", "-e", "echo", "third")
	u.run("stop", "-t", "0", "g1")
	if c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		c.Close()
		t.Error("the port of a stopped container is still bound")
	}
	u.run("start", "g1")
	if got := u.dial("127.0.0.1", port); got != "third\n" {
		t.Errorf("after a restart the port answers %q", got)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// dial returns the first line that a server says; the server may need a moment to come up.
func (u *user) dial(host string, port int) string {
	u.t.Helper()
	line := ""
	eventually(u.t, "the port answers", func() bool {
		c, err := net.Dial("tcp4", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		line, _ = bufio.NewReader(c).ReadString('\n')
		return line != ""
	})
	return line
}

func TestUserNamespaceModes(t *testing.T) {
	u := newUserWithImage(t)
	uid := os.Getuid()
	maps := func(mode string) [][]string {
		var lines [][]string
		for line := range strings.Lines(u.run("run", "--rm", "--userns", mode, "-u", "0", "bb", "cat", "/proc/self/uid_map")) {
			lines = append(lines, strings.Fields(line))
		}
		return lines
	}
	if m := maps("host"); len(m) != 2 || m[0][0] != "0" || m[0][1] != fmt.Sprint(uid) || m[0][2] != "1" || m[1][0] != "1" {
		t.Errorf("host: %v", m)
	}
	if m := maps("keep-id"); len(m) != 3 || m[1][0] != fmt.Sprint(uid) || m[1][1] != fmt.Sprint(uid) || m[1][2] != "1" {
		t.Errorf("keep-id: %v", m)
	}
	if m := maps("nomap"); len(m) != 1 || m[0][0] != "0" || m[0][1] == fmt.Sprint(uid) {
		t.Errorf("nomap: %v", m)
	}
	// Owners in the image are the same whatever the map is, and so is what root may do.
	for _, mode := range []string{"host", "keep-id", "nomap"} {
		u.prints("1000 1000\n42", "run", "--rm", "--userns", mode, "-u", "0", "bb", "sh", "-c",
			"stat -c '%u %g' /home/alice/own; touch /f; chown 42 /f; stat -c %u /f")
	}
	u.prints(fmt.Sprint(uid), "run", "--rm", "--userns", "keep-id", "bb", "id", "-u")
	u.fails(125, []string{"no-such-mode"}, "run", "--rm", "--userns", "no-such-mode", "bb", "true")
}
