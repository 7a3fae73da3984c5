package rootless

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// SlirpResolvConf returns the /etc/resolv.conf of a container on slirp4netns: its DNS server, which asks the
// host's, with the search domains and options of the host's file. The host's servers themselves are left out: one on
// 127.0.0.1 is not there in the container.
func SlirpResolvConf(host []byte) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "nameserver %s\n", SlirpDNS)
	for line := range strings.Lines(string(host)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "search", "domain", "options":
			fmt.Fprintln(&out, strings.Join(fields, " "))
		}
	}
	return out.Bytes()
}

// NameServers returns the /etc/resolv.conf of a container with these servers.
func NameServers(addresses []string) ([]byte, error) {
	var out bytes.Buffer
	for _, address := range addresses {
		if !isAddress(address) {
			return nil, fmt.Errorf("invalid name server %q: want an IP address", address)
		}
		fmt.Fprintf(&out, "nameserver %s\n", address)
	}
	return out.Bytes(), nil
}

// isAddress tells whether text is an IP address, and no more: the zone of an IPv6 one could be anything.
func isAddress(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && !strings.ContainsFunc(address.Zone(), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

// HostsFile is what the /etc/hosts of a container is to say.
type HostsFile struct {
	Base     []byte   // lines to begin with; nil for those of localhost
	Address  string   // of Hostname
	Hostname string   // the container's host name, with its domain name where it is a dotted one; may be ""
	Extra    []string // further entries, each NAME:IP as in --add-host
}

const localHosts = "127.0.0.1\tlocalhost\n" +
	"::1\tlocalhost ip6-localhost ip6-loopback\n" +
	"fe00::\tip6-localnet\n" +
	"ff00::\tip6-mcastprefix\n" +
	"ff02::1\tip6-allnodes\n" +
	"ff02::2\tip6-allrouters\n"

// Text returns the file.
func (h HostsFile) Text() ([]byte, error) {
	var out bytes.Buffer
	if h.Base == nil {
		out.WriteString(localHosts)
	}
	out.Write(h.Base)
	if text := out.Bytes(); len(text) > 0 && text[len(text)-1] != '\n' {
		out.WriteByte('\n')
	}
	for _, entry := range h.Extra {
		name, ip, err := parseAddHost(entry)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s\t%s\n", ip, name)
	}
	if h.Hostname != "" {
		names := h.Hostname
		if short, _, dotted := strings.Cut(h.Hostname, "."); dotted {
			names += " " + short
		}
		fmt.Fprintf(&out, "%s\t%s\n", h.Address, names)
	}
	return out.Bytes(), nil
}

// parseAddHost splits NAME:IP or NAME=IP; the address may be an IPv6 one, in brackets or not.
func parseAddHost(entry string) (name, ip string, err error) {
	i := strings.IndexAny(entry, ":=")
	if i <= 0 {
		return "", "", fmt.Errorf("bad format for add-host: %q", entry)
	}
	name, ip = entry[:i], strings.Trim(entry[i+1:], "[]")
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '#' }) {
		return "", "", fmt.Errorf("bad format for add-host: %q", entry)
	}
	if !isAddress(ip) {
		return "", "", fmt.Errorf("invalid IP address in add-host: %q", ip)
	}
	return name, ip, nil
}
