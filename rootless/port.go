package rootless

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// PortMapping publishes one port of a container on the host.
type PortMapping struct {
	HostIP        string `json:"hostIP,omitempty"` // "" is every IPv4 address of the host
	HostPort      uint16 `json:"hostPort"`         // 0 is any free one
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"` // "tcp" or "udp"
}

// String returns the mapping as docker prints it: 0.0.0.0:8080->80/tcp.
func (p PortMapping) String() string {
	return fmt.Sprintf("%s->%d/%s", p.hostAddress(), p.ContainerPort, p.Protocol)
}

func (p PortMapping) hostAddress() string {
	ip := p.HostIP
	if ip == "" {
		ip = "0.0.0.0"
	}
	return net.JoinHostPort(ip, strconv.Itoa(int(p.HostPort)))
}

// ParsePort parses the argument of --publish, [IP:][HOSTPORT:]CONTAINERPORT[/tcp|udp], in which ports may be ranges
// of one length, FIRST-LAST, and an IPv6 address stands in brackets. It returns one mapping for each port.
func ParsePort(spec string) ([]PortMapping, error) {
	addresses, protocol, found := strings.Cut(spec, "/")
	if !found {
		protocol = "tcp"
	}
	protocol = strings.ToLower(protocol)
	if protocol != "tcp" && protocol != "udp" {
		return nil, fmt.Errorf("invalid port %q: protocol %q is neither tcp nor udp", spec, protocol)
	}
	ip, hostPorts, containerPorts, err := splitPort(addresses)
	if err != nil {
		return nil, fmt.Errorf("invalid port %q: %w", spec, err)
	}
	container, err := parsePortRange(containerPorts)
	if err != nil {
		return nil, fmt.Errorf("invalid containerPort: %q: %w", containerPorts, err)
	}
	host := portRange{}
	if hostPorts != "" {
		if host, err = parsePortRange(hostPorts); err != nil {
			return nil, fmt.Errorf("invalid hostPort: %q: %w", hostPorts, err)
		}
		if host.count() != container.count() {
			return nil, fmt.Errorf("invalid ranges specified for container and host Ports: %q and %q", containerPorts, hostPorts)
		}
	}
	return expand(ip, host, container, protocol), nil
}

func expand(ip string, host, container portRange, protocol string) []PortMapping {
	var out []PortMapping
	for i := range container.count() {
		m := PortMapping{HostIP: ip, ContainerPort: uint16(container.first + i), Protocol: protocol}
		if host.first != 0 {
			m.HostPort = uint16(host.first + i)
		}
		out = append(out, m)
	}
	return out
}

// splitPort takes [IP:][HOSTPORT:]CONTAINERPORT apart and checks the address.
func splitPort(text string) (ip, host, container string, err error) {
	rest := text
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		rest, container = rest[:i], rest[i+1:]
	} else {
		rest, container = "", rest
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		ip, host = rest[:i], rest[i+1:]
	} else {
		host = rest
	}
	if container == "" {
		return "", "", "", errors.New("no container port")
	}
	if ip == "" {
		return "", host, container, nil
	}
	bare, bracketed := strings.CutPrefix(ip, "[")
	if bracketed {
		bare, bracketed = strings.CutSuffix(bare, "]")
	}
	address, err := netip.ParseAddr(bare)
	if err != nil || address.Is6() != bracketed {
		return "", "", "", fmt.Errorf("invalid IP address: %s", ip)
	}
	return bare, host, container, nil
}

// portRange is the ports first to last; the zero value is no port.
type portRange struct {
	first, last int
}

func (r portRange) count() int { return r.last - r.first + 1 }

func parsePortRange(text string) (portRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err := parsePortNumber(first)
	if err != nil {
		return portRange{}, err
	}
	to, err := parsePortNumber(last)
	if err != nil {
		return portRange{}, err
	}
	if to < from {
		return portRange{}, errors.New("the range ends before it starts")
	}
	return portRange{first: from, last: to}, nil
}

func parsePortNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port from 1 to 65535", text)
	}
	return int(n), nil
}

// probe finds out whether the host's port can be bound, and which one it is where any free one will do.
func (p PortMapping) probe() (PortMapping, error) {
	port, err := bindOnce(p.Protocol, p.hostAddress())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return p, fmt.Errorf("publish port: bind for %s failed: port is already allocated", p.hostAddress())
	case errors.Is(err, syscall.EACCES) && p.HostPort < 1024:
		return p, fmt.Errorf("publish port: bind for %s failed: ports below net.ipv4.ip_unprivileged_port_start are for root; "+
			"publish on a higher one, as in -p %d:%d, or let users have it with \"sudo sysctl net.ipv4.ip_unprivileged_port_start=%d\"",
			p.hostAddress(), 8000+int(p.HostPort), p.ContainerPort, p.HostPort)
	case err != nil:
		return p, fmt.Errorf("publish port %s: %w", p, err)
	}
	p.HostPort = port
	return p, nil
}

// bindOnce binds and releases a port and returns its number.
func bindOnce(protocol, address string) (uint16, error) {
	if protocol == "udp" {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return uint16(c.LocalAddr().(*net.UDPAddr).Port), nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port), nil
}
