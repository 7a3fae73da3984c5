package rootless

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// ResolvConf is what the /etc/resolv.conf of a container must say besides, or instead of, what the host's says.
type ResolvConf struct {
	Servers []string // nil for the host's; a container with a network of its own does not reach one on 127.0.0.1
	Search  []string // domains; nil for the host's, "." for none
	Options []string // nil for the host's
}

// Text returns the file for a host with the given file.
func (r ResolvConf) Text(host []byte) []byte {
	var out bytes.Buffer
	for _, server := range r.Servers {
		fmt.Fprintf(&out, "nameserver %s\n", server)
	}
	if len(r.Search) > 0 && !slices.Equal(r.Search, []string{"."}) {
		fmt.Fprintf(&out, "search %s\n", strings.Join(r.Search, " "))
	}
	if len(r.Options) > 0 {
		fmt.Fprintf(&out, "options %s\n", strings.Join(r.Options, " "))
	}
	given := map[string]bool{"nameserver": r.Servers != nil, "search": r.Search != nil, "domain": r.Search != nil,
		"options": r.Options != nil}
	for line := range strings.Lines(string(host)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if instead, known := given[fields[0]]; known && !instead {
			fmt.Fprintln(&out, strings.Join(fields, " "))
		}
	}
	return out.Bytes()
}

// Validate refuses a server that is not an IP address, and a word that would end its line or begin another word.
func (r ResolvConf) Validate() error {
	for _, server := range r.Servers {
		if !isAddress(server) {
			return fault.Errorf(errdefs.ErrInvalidArgument, "invalid name server %q: want an IP address", server)
		}
	}
	for what, words := range map[string][]string{"DNS search domain": r.Search, "DNS option": r.Options} {
		for _, word := range words {
			if word == "" || strings.ContainsFunc(word, endsWord) {
				return fault.Errorf(errdefs.ErrInvalidArgument, "invalid %s %q: want one word", what, word)
			}
		}
	}
	return nil
}

// endsWord tells whether a character would begin another word or another line in a file of the resolver.
func endsWord(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// isAddress tells whether text is an IP address and nothing more: the zone of an IPv6 address could be any text.
func isAddress(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && !strings.ContainsFunc(address.Zone(), endsWord)
}

// HostsFile is what the /etc/hosts of a container must say.
type HostsFile struct {
	Base     []byte   // the first lines; nil for those of localhost
	Address  string   // of Hostname
	Hostname string   // the container's host name, which may include the domain name; may be ""
	Extra    []string // further entries, each NAME:IP or NAME=IP
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
		return "", "", fault.Errorf(errdefs.ErrInvalidArgument, "bad format for add-host: %q", entry)
	}
	name, ip = entry[:i], strings.Trim(entry[i+1:], "[]")
	if strings.ContainsFunc(name, func(r rune) bool { return endsWord(r) || r == '#' }) {
		return "", "", fault.Errorf(errdefs.ErrInvalidArgument, "bad format for add-host: %q", entry)
	}
	if !isAddress(ip) {
		return "", "", fault.Errorf(errdefs.ErrInvalidArgument, "invalid IP address in add-host: %q", ip)
	}
	return name, ip, nil
}
