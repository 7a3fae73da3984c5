package rootless

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// PortMapping publishes one port of a container on the host.
type PortMapping struct {
	HostIP        string `json:"hostIP,omitempty"` // "" is every IPv4 address of the host
	HostPort      uint16 `json:"hostPort"`         // 0 is any free port
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"`               // "tcp" or "udp"
	HostPortLast  uint16 `json:"hostPortLast,omitempty"` // if not 0: any free port from HostPort to this one
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
	port := strconv.Itoa(int(p.HostPort))
	if p.isRange() {
		port += "-" + strconv.Itoa(int(p.HostPortLast))
	}
	return net.JoinHostPort(ip, port)
}

// isRange tells whether any free port of several is good enough.
func (p PortMapping) isRange() bool { return p.HostPortLast != 0 }

// onLoopback tells whether only the host itself can reach the port.
func (p PortMapping) onLoopback() bool {
	ip, err := netip.ParseAddr(p.HostIP)
	return err == nil && ip.IsLoopback()
}

// candidates returns the mappings to try, one after the other.
func (p PortMapping) candidates() []PortMapping {
	switch {
	case p.isRange():
		var all []PortMapping
		for port := int(p.HostPort); port <= int(p.HostPortLast); port++ {
			one := p
			one.HostPort, one.HostPortLast = uint16(port), 0
			all = append(all, one)
		}
		return all
	case p.HostPort == 0:
		const tries = 16 // another process may bind the port that the kernel chose before it is published
		return slices.Repeat([]PortMapping{p}, tries)
	}
	return []PortMapping{p}
}

// ParsePort parses [IP:][HOSTPORT:]CONTAINERPORT[/tcp|udp]. Ports may be ranges of one length, FIRST-LAST. An IPv6
// address is in brackets. A range of the host for one port of the container means any free port of the range, and 0
// means any free port. ParsePort returns one mapping for each port of the container.
func ParsePort(spec string) ([]PortMapping, error) {
	addresses, protocol, found := strings.Cut(spec, "/")
	if !found {
		protocol = "tcp"
	}
	protocol = strings.ToLower(protocol)
	if protocol != "tcp" && protocol != "udp" {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument,
			"invalid port %q: protocol %q is neither tcp nor udp", spec, protocol)
	}
	ip, hostPorts, containerPorts, err := splitPort(addresses)
	if err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "invalid port %q: %w", spec, err)
	}
	container, err := parsePortRange(containerPorts)
	if err != nil {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "invalid containerPort: %q: %w", containerPorts, err)
	}
	host := portRange{}
	if hostPorts != "" && hostPorts != "0" {
		if host, err = parsePortRange(hostPorts); err != nil {
			return nil, fault.Errorf(errdefs.ErrInvalidArgument, "invalid hostPort: %q: %w", hostPorts, err)
		}
		if container.count() == 1 && host.count() > 1 {
			return []PortMapping{{HostIP: ip, HostPort: uint16(host.first), HostPortLast: uint16(host.last),
				ContainerPort: uint16(container.first), Protocol: protocol}}, nil
		}
		if host.count() != container.count() {
			return nil, fault.Errorf(errdefs.ErrInvalidArgument,
				"invalid ranges specified for container and host Ports: %q and %q", containerPorts, hostPorts)
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

// splitPort splits [IP:][HOSTPORT:]CONTAINERPORT and checks the address.
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

// portRange is the ports from first to last; the zero value is no port.
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

// probe finds out whether the host's port can be bound, and which one it is where any free port is good enough.
func (p PortMapping) probe() (PortMapping, error) {
	port, err := bindOnce(p.Protocol, p.hostAddress())
	if err != nil {
		return p, p.explain(err)
	}
	p.HostPort = port
	return p, nil
}

// explain tells the user why the host's port cannot be bound.
func (p PortMapping) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("bind for %s failed: %w", p.hostAddress(), errTaken)
	case errors.Is(err, syscall.EACCES) && p.HostPort < 1024:
		return fault.Errorf(errdefs.ErrPermissionDenied,
			"bind for %s failed: ports below net.ipv4.ip_unprivileged_port_start are for root; "+
				"publish on a higher one, such as %d, or let users have it with "+
				"\"sudo sysctl net.ipv4.ip_unprivileged_port_start=%d\"",
			p.hostAddress(), 8000+int(p.HostPort), p.HostPort)
	}
	return fmt.Errorf("%s: %w", p, err)
}

// bindOnce binds and releases a port, and returns its number.
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
