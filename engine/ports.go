package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/rootless"
)

// ExposedPorts reads the ports that an image exposes, such as 80, 53/udp or 8000-8010/tcp. An image may expose what is
// no port, which is returned apart and sorted.
func ExposedPorts(texts map[string]struct{}) (ports network.PortSet, bad []string) {
	for text := range texts {
		list, err := AppendPorts(nil, text)
		if err != nil {
			bad = append(bad, text)
			continue
		}
		for _, port := range list {
			if ports == nil {
				ports = network.PortSet{}
			}
			ports[port] = struct{}{}
		}
	}
	slices.Sort(bad)
	return ports, bad
}

// AppendPorts adds the ports of a text such as 80, 8000-8010 or 53/udp.
func AppendPorts(all []network.Port, text string) ([]network.Port, error) {
	mappings, err := rootless.ParsePort(text)
	for _, m := range mappings {
		all = append(all, portOf(m))
	}
	return all, err
}

func portOf(m rootless.PortMapping) network.Port {
	port, _ := network.PortFrom(m.ContainerPort, network.IPProtocol(m.Protocol)) // a mapping has a protocol
	return port
}

func comparePorts(a, b network.Port) int {
	return cmp.Or(cmp.Compare(a.Num(), b.Num()), cmp.Compare(a.Proto(), b.Proto()))
}

// bindingText is the binding of a container's port in the form of the -p flag.
func bindingText(port network.Port, b PortBinding) string {
	text := port.String()
	if b.HostPort != "" || b.HostIP.IsValid() {
		text = b.HostPort + ":" + text
	}
	switch {
	case b.HostIP.Is6():
		return "[" + b.HostIP.String() + "]:" + text
	case b.HostIP.IsValid():
		return b.HostIP.String() + ":" + text
	}
	return text
}

// ParsePublish translates -p flags into the bindings of a HostConfig.
func ParsePublish(flags []string) (network.PortMap, error) {
	var all []rootless.PortMapping
	for _, flag := range flags {
		mappings, err := rootless.ParsePort(flag)
		if err != nil {
			return nil, err
		}
		all = append(all, mappings...)
	}
	return publishedPorts(all), nil
}

// publishedPorts translates mappings into bindings.
func publishedPorts(mappings []rootless.PortMapping) network.PortMap {
	bindings := network.PortMap{}
	for _, m := range mappings {
		var b PortBinding
		b.HostIP, _ = netip.ParseAddr(m.HostIP) // an address, or "" for all of the host's
		if m.HostPort != 0 {
			b.HostPort = strconv.Itoa(int(m.HostPort))
		}
		if m.HostPortLast != 0 {
			b.HostPort += "-" + strconv.Itoa(int(m.HostPortLast))
		}
		bindings[portOf(m)] = append(bindings[portOf(m)], b)
	}
	return bindings
}

// validatePorts refuses bindings that cannot be published on any host.
func validatePorts(bindings network.PortMap) error {
	for port, list := range bindings {
		for _, b := range list {
			if _, err := rootless.ParsePort(bindingText(port, b)); err != nil {
				return err
			}
		}
	}
	return nil
}
