package tests

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
)

func TestNetworks(t *testing.T) {
	u := newUserWithImage(t)
	u.prints("lo", "run", "--rm", "--network", "none", "bb", "ls", "/sys/class/net")
	contains(t, u.run("run", "--rm", "--network", "none", "bb", "ip", "addr", "show", "lo"), "127.0.0.1", "UP")
	for _, flags := range [][]string{{}, {"--network", "slirp4netns"}} {
		args := append(append([]string{"run", "--rm"}, flags...), "bb", "sh", "-c",
			"ls /sys/class/net; ip addr show eth0; ip route; cat /etc/resolv.conf; ping -c 1 10.0.2.2")
		contains(t, u.run(args...), "eth0\nlo\n", "10.0.2.100/24", "mtu 65520", "default via 10.0.2.2",
			"nameserver 10.0.2.3", "1 packets received")
	}
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	u.prints(host, "run", "--rm", "--network", "host", "bb", "readlink", "/proc/self/ns/net")
	u.fails(125, []string{"no-such-network"}, "run", "--rm", "--network", "no-such-network", "bb", "true")
	u.fails(125, []string{"publish"}, "run", "--rm", "--network", "none", "-p", "8080:80", "bb", "true")
}

// TestHostLoopbackIsOutOfReach checks that services of the host are not reached through the addresses of slirp4netns,
// but through the host's own.
func TestHostLoopbackIsOutOfReach(t *testing.T) {
	u := newUserWithImage(t)
	var tcp, udp []string // what is tried
	var heard atomic.Int32
	for _, address := range []string{"127.0.0.1", "0.0.0.0"} {
		l, err := net.Listen("tcp4", address+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go greet(l)
		packets, err := net.ListenPacket("udp4", address+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		go hear(packets, &heard)
		for _, gateway := range []string{"10.0.2.2", "10.0.2.3", "10.0.2.4"} {
			tcp = append(tcp, fmt.Sprintf("%s:%d", gateway, l.Addr().(*net.TCPAddr).Port))
			udp = append(udp, fmt.Sprintf("%s:%d", gateway, packets.LocalAddr().(*net.UDPAddr).Port))
		}
	}
	flags := []string{"--network", "slirp4netns"}
	if got := u.attacked("connections", flags,
		append(append([]string{"tcp"}, tcp...), append([]string{"udp"}, udp...)...)...); got != "" {
		t.Errorf("the container reaches\n%s", got)
	}
	if n := heard.Load(); n > 0 {
		t.Errorf("%d packets came to the host", n)
	}
	own := ownAddress(t)
	if own == "" {
		t.Log("the host has no address of its own")
		return
	}
	open := own + tcp[3][strings.Index(tcp[3], ":"):]
	if got := u.attacked("connections", flags, "tcp", open); got != "tcp "+open+" says hello" {
		t.Errorf("of the host's own address: %q", got)
	}
}

// greet answers all connections.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // the test is over
		}
		fmt.Fprint(c, "hello")
		c.Close()
	}
}

// hear counts packets and answers them.
func hear(packets net.PacketConn, heard *atomic.Int32) {
	for {
		_, from, err := packets.ReadFrom(make([]byte, 100))
		if err != nil {
			return // the test is over
		}
		heard.Add(1)
		packets.WriteTo([]byte("hello"), from)
	}
}

// ownAddress is an address of the host at which others reach it; "" if it has none.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if own, ok := address.(*net.IPNet); ok && own.IP.To4() != nil && own.IP.IsGlobalUnicast() {
			return own.IP.String()
		}
	}
	return ""
}

// tryConnections connects to addresses all at once and prints what answers. Arguments are "tcp" and "udp", each
// followed by addresses.
func tryConnections(args []string) error {
	network := ""
	var all sync.WaitGroup
	for _, arg := range args {
		if !strings.Contains(arg, ":") {
			network = arg
			continue
		}
		all.Go(func() {
			c, err := net.DialTimeout(network, arg, patience.Of(2*time.Second))
			if err != nil {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience.Of(2 * time.Second))) // what is out of reach is silent
			fmt.Fprint(c, "hello")
			answer := make([]byte, 100)
			if n, err := c.Read(answer); err == nil {
				fmt.Printf("%s %s says %s\n", network, arg, answer[:n])
			}
		})
	}
	all.Wait()
	return nil
}

// TestPublishedPortListensWhereTold looks at all sockets of the host that listen on published ports.
func TestPublishedPortListensWhereTold(t *testing.T) {
	u := newUserWithImage(t)
	port, open := freePort(t), freePort(t)
	u.run("run", "-d", "--name", "c1", "-p", fmt.Sprintf("127.0.0.2:%d:80", port), "-p", fmt.Sprintf("%d:81", open),
		"-p", fmt.Sprintf("127.0.0.2:%d:82/udp", port), "bb", "sleep", "1000")
	for what, want := range map[string]string{
		fmt.Sprintf("tcp %04X", port): "0200007F", fmt.Sprintf("tcp %04X", open): "00000000",
		fmt.Sprintf("udp %04X", port): "0200007F",
	} {
		network, port, _ := strings.Cut(what, " ")
		if got := boundTo(t, network, port); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is bound to %q, want %s", what, got, want)
		}
	}
}

// boundTo returns the addresses of the sockets that are bound to a port, all as the kernel writes them.
func boundTo(t *testing.T, network, port string) (found []string) {
	t.Helper()
	const listening, unconnected = "0A", "07"
	for _, table := range []string{network, network + "6"} {
		for line := range strings.Lines(string(readFile(t, "/proc/net/"+table))) {
			fields := strings.Fields(line)
			address, bound, _ := strings.Cut(fields[1], ":")
			if bound == port && (fields[3] == listening || fields[3] == unconnected) {
				found = append(found, address)
			}
		}
	}
	return found
}

func TestPublish(t *testing.T) {
	u := newUserWithImage(t)
	port := freePort(t)
	u.run("run", "-d", "--name", "c1", "-p", fmt.Sprintf("127.0.0.1:%d:80", port), "-p", "127.0.0.1::81", "bb", "sh",
		"-c",
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
	u.prints(fmt.Sprintf("/c1 %d 127.0.0.1", port), "inspect", "-f", `{{.Name}}{{with .ID}}{{end}} `+
		`{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}} `+
		`{{(index (index .HostConfig.PortBindings "80/tcp") 0).HostIP}}`, "c1")

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
		c.SetDeadline(time.Now().Add(patience.Of(5 * time.Second)))
		line, _ = bufio.NewReader(c).ReadString('\n')
		return line != ""
	})
	return line
}

// idMap returns the lines of the map of user ids of a container with these flags and image, as the host sees it. In the
// container each id is shown as itself: its user namespace is below the one that has the host's ids.
func (u *user) idMap(args ...string) []string {
	u.t.Helper()
	id := u.run(append(append([]string{"run", "-d"}, args...), "sleep", "1000")...)
	defer u.run("rm", "-f", id)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", u.inspect(id).State.Pid))
	if err != nil {
		u.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func TestUserNamespaceModes(t *testing.T) {
	u := newUserWithImage(t)
	uid := os.Getuid()
	maps := func(mode string) [][]string {
		var lines [][]string
		for _, line := range u.idMap("--userns", mode, "-u", "0", "bb") {
			lines = append(lines, strings.Fields(line))
		}
		return lines
	}
	if m := maps("host"); len(m) != 2 || m[0][0] != "0" || m[0][1] != fmt.Sprint(uid) || m[0][2] != "1" ||
		m[1][0] != "1" {
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

// TestPublishUDP checks that replies of a published UDP port reach clients on the loopback interface and others.
func TestPublishUDP(t *testing.T) {
	u := newUserWithImage(t)
	port := freePort(t)
	args := append([]string{"run", "-d", "--name", "c1", "-p", fmt.Sprintf("%d:9999/udp", port), "-p",
		"127.0.0.1::9999/udp"}, insider("echo")...)
	u.run(append(args, "bb", "9999")...)
	var onLoopback int
	for _, b := range u.inspect("c1").NetworkSettings.Ports["9999/udp"] {
		if b.HostIP == "127.0.0.1" {
			fmt.Sscan(b.HostPort, &onLoopback)
		}
	}
	large := strings.Repeat("x", 60000)
	for _, text := range []string{"hello", large} {
		for _, p := range []int{port, onLoopback} {
			if got := u.ask("127.0.0.1", p, text); got != "10.0.2.100 "+text {
				t.Errorf("port %d on the loopback interface answers %d bytes: %.40q", p, len(got), got)
			}
		}
	}
	if own := outwardAddress(); own != "" {
		if got := u.ask(own, port, "hello"); got != own+" hello" {
			t.Errorf("the port on %s answers %q", own, got)
		}
	}
	u.run("rm", "-f", "c1")
}

// outwardAddress returns the host's address towards others, "" where it has none.
func outwardAddress() string {
	c, err := net.Dial("udp4", "192.0.2.1:9") // nothing is sent
	if err != nil {
		return ""
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}

// ask sends a datagram until there is an answer: the server may need a moment to come up.
func (u *user) ask(host string, port int, text string) string {
	u.t.Helper()
	c, err := net.Dial("udp4", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		u.t.Fatal(err)
	}
	defer c.Close()
	answer := make([]byte, 64<<10)
	n := 0
	eventually(u.t, "the port answers", func() bool {
		c.SetDeadline(time.Now().Add(patience.Of(time.Second)))
		if _, err := c.Write([]byte(text)); err != nil {
			return false
		}
		n, err = c.Read(answer)
		return err == nil
	})
	return string(answer[:n])
}

// TestPublishOneOfARange has containers at once ask for any free port of a range: each gets another one.
func TestPublishOneOfARange(t *testing.T) {
	u := newUserWithImage(t)
	first := freeRange(t, 3)
	spec := fmt.Sprintf("%d-%d:80", first, first+2)
	names := []string{"r1", "r2", "r3"}
	done := make(chan result)
	for _, name := range names {
		cmd := u.cmd("run", "-d", "--name", name, "-p", spec, "bb", "sleep", "1000")
		go func() { done <- u.finish(cmd) }()
	}
	for range names {
		u.succeeded(<-done)
	}
	seen := map[string]bool{}
	for _, name := range names {
		bindings := u.inspect(name).NetworkSettings.Ports["80/tcp"]
		if len(bindings) != 1 || seen[bindings[0].HostPort] {
			t.Errorf("%s is published on %v, others on %v", name, bindings, seen)
			continue
		}
		seen[bindings[0].HostPort] = true
	}
	for port := first; port < first+3; port++ {
		if !seen[fmt.Sprint(port)] {
			t.Errorf("port %d is not used, but %v", port, seen)
		}
	}
	u.fails(125, []string{spec[:len(spec)-3], "already allocated"}, "run", "--rm", "-p", spec, "bb", "true")
	u.run("stop", "-t", "0", "r2")
	u.run("start", "r2")
	u.run(append([]string{"rm", "-f"}, names...)...)
	for _, any := range []string{"0:80", "127.0.0.1:0:80"} {
		u.run("run", "-d", "--name", "zero", "-p", any, "bb", "nc", "-ll", "-p", "80", "-e", "echo", "any")
		var port int
		fmt.Sscan(u.inspect("zero").NetworkSettings.Ports["80/tcp"][0].HostPort, &port)
		if got := u.dial("127.0.0.1", port); got != "any\n" {
			t.Errorf("-p %s: port %d answers %q", any, port, got)
		}
		u.run("rm", "-f", "zero")
	}
}

// freeRange returns the first of n ports in a row that are free.
func freeRange(t *testing.T, n int) int {
	t.Helper()
	for first := 20000 + os.Getpid()%10000; first < 60000; first += n {
		free := 0
		for ; free < n; free++ {
			l, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", first+free))
			if err != nil {
				break
			}
			l.Close()
		}
		if free == n {
			return first
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}

// TestResolvConf chooses name servers, domains and options.
func TestResolvConf(t *testing.T) {
	u := newUserWithImage(t)
	u.prints("nameserver 1.1.1.1\nsearch a.example b.example\noptions ndots:2", "run", "--rm", "--dns", "1.1.1.1",
		"--dns-search", "a.example", "--dns-search", "b.example",
		"--dns-option", "ndots:2", "bb", "cat", "/etc/resolv.conf")
	if got := u.run("run", "--rm", "--network", "none", "--dns-search", ".", "bb", "cat",
		"/etc/resolv.conf"); strings.Contains(got, "search") {
		t.Errorf("domains where none are wanted: %s", got)
	}
	u.fails(125, []string{"name server", "notanip"}, "run", "--rm", "--dns", "notanip", "bb", "true")
	u.fails(125, []string{"DNS search domain"}, "run", "--rm", "--dns-search", "a\nnameserver 1.2.3.4", "bb", "true")
	u.fails(125, []string{"DNS option"}, "run", "--rm", "--dns-option", "a b", "bb", "true")
}
