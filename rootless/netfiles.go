package rootless

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
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

// Hosts returns the /etc/hosts of a container: localhost, the container's host name, with its domain name where it
// is a dotted one, at address, and extra entries, each NAME:IP as in --add-host.
func Hosts(address, hostname string, extra []string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::\tip6-localnet\n" +
		"ff00::\tip6-mcastprefix\n" +
		"ff02::1\tip6-allnodes\n" +
		"ff02::2\tip6-allrouters\n")
	for _, entry := range extra {
		name, ip, err := parseAddHost(entry)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s\t%s\n", ip, name)
	}
	if hostname != "" {
		names := hostname
		if short, _, dotted := strings.Cut(hostname, "."); dotted {
			names += " " + short
		}
		fmt.Fprintf(&out, "%s\t%s\n", address, names)
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
	if strings.ContainsAny(name, " \t\n#") {
		return "", "", fmt.Errorf("bad format for add-host: %q", entry)
	}
	if _, err := netip.ParseAddr(ip); err != nil {
		return "", "", fmt.Errorf("invalid IP address in add-host: %q", ip)
	}
	return name, ip, nil
}
