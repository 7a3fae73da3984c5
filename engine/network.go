package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/rootless"
)

// The networks a container can have.
const (
	networkDefault = "default" // slirp4netns where it is installed, otherwise none
	networkNone    = "none"
	networkHost    = "host"
	networkSlirp   = "slirp4netns"
)

// network is the mode that was asked for; an empty one means default, and so does bridge, which is what Docker calls
// its default.
func (c *Container) network() string {
	switch mode := string(c.HostConfig.NetworkMode); {
	case c.Config.NetworkDisabled:
		return networkNone
	case mode == "" || mode == "bridge":
		return networkDefault
	default:
		return mode
	}
}

// Network is the name of the network that the container has, or gets when it is started on this host.
func (c *Container) Network() string {
	mode := c.network()
	if mode != networkDefault {
		return mode
	}
	if rootless.FindSlirp() == nil {
		return networkSlirp
	}
	return networkNone
}

// HasNetwork tells whether the container is in the network of a name. The default network has Docker's name for it,
// too.
func (c *Container) HasNetwork(name string) bool {
	return name == c.Network() || c.network() == networkDefault && (name == networkDefault || name == "bridge")
}

// validateNames checks what goes into the files that tell a container of hosts.
func validateNames(config *Config, host *HostConfig) error {
	for what, name := range map[string]string{"host": config.Hostname, "domain": config.Domainname} {
		if name != "" && !validHostname(name) {
			return fmt.Errorf("invalid %s name %q: up to 63 letters, digits, dots, hyphens and underscores are allowed",
				what, name)
		}
	}
	if err := host.resolvConf().Validate(); err != nil {
		return err
	}
	_, err := rootless.HostsFile{Extra: host.ExtraHosts}.Text()
	return err
}

func validateNetwork(config *Config, host *HostConfig) error {
	if config.NetworkDisabled && len(host.PortBindings) > 0 {
		return invalidf("ports cannot be published: the container is to have no network")
	}
	switch host.NetworkMode {
	case "", "bridge", networkDefault, networkSlirp:
		return nil
	case networkHost:
		return nil // Settle drops the ports
	case networkNone:
		if len(host.PortBindings) > 0 {
			return fmt.Errorf("ports cannot be published with HostConfig.NetworkMode=%s: leave out "+
				"HostConfig.PortBindings, or use HostConfig.NetworkMode=%s", host.NetworkMode, networkSlirp)
		}
		return nil
	}
	return fmt.Errorf("unknown network %q: known are %s, %s and %s", host.NetworkMode, networkNone, networkHost,
		networkSlirp)
}

// chooseNetwork settles what default means on this host, with a warning where it is less than the user expects.
func (c *Container) chooseNetwork() (mode, warning string, err error) {
	mode = c.network()
	if mode != networkDefault && mode != networkSlirp {
		return mode, "", nil
	}
	missing := rootless.FindSlirp()
	switch {
	case missing == nil:
		return networkSlirp, "", nil
	case mode == networkSlirp || len(c.HostConfig.PortBindings) > 0:
		return "", "", missing
	}
	return networkNone, fmt.Sprintf("the container has no network, because %v", missing), nil
}

// Where the host's name servers are listed, and names that it knows by itself.
const (
	hostResolvConf = "/etc/resolv.conf"
	hostHosts      = "/etc/hosts"
)

// writeNetworkFiles writes the files that are bound over /etc/hosts, /etc/hostname and /etc/resolv.conf.
func (c *Container) writeNetworkFiles(mode string) error {
	hosts, err := c.hosts(mode)
	if err != nil {
		return err
	}
	resolv, err := c.resolvConf(mode)
	if err != nil {
		return err
	}
	files := map[string][]byte{hostsFile: hosts, resolvFile: resolv, hostnameFile: []byte(c.Config.Hostname + "\n")}
	for file, content := range files {
		// Readable by everybody: inside, users other than root read them too.
		if err := atomicfile.Write(c.path(file), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// hosts returns the hosts file. In the host's network it is the host's, with what was asked for.
func (c *Container) hosts(mode string) ([]byte, error) {
	file := rootless.HostsFile{Address: "127.0.1.1", Hostname: c.Config.Hostname, Extra: c.HostConfig.ExtraHosts}
	if c.Config.Domainname != "" {
		file.Hostname += "." + c.Config.Domainname
	}
	switch mode {
	case networkSlirp:
		file.Address = rootless.SlirpAddress
	case networkHost:
		base, err := os.ReadFile(hostHosts)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the host's names: %w", err)
		}
		file.Base = base
		if name, err := os.Hostname(); err == nil && name == file.Hostname {
			file.Hostname = "" // which the host's file has, if anybody needs it
		}
	}
	return file.Text()
}

func (c *Container) resolvConf(mode string) ([]byte, error) {
	host, err := os.ReadFile(hostResolvConf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the host's name servers: %w", err)
	}
	conf := c.HostConfig.resolvConf()
	if mode == networkSlirp && conf.Servers == nil {
		conf.Servers = []string{rootless.SlirpDNS}
	}
	if conf.Servers == nil && conf.Search == nil && conf.Options == nil {
		return host, nil
	}
	return conf.Text(host), nil
}

func (h *HostConfig) resolvConf() rootless.ResolvConf {
	conf := rootless.ResolvConf{Search: h.DNSSearch, Options: h.DNSOptions}
	for _, server := range h.DNS {
		conf.Servers = append(conf.Servers, server.String())
	}
	return conf
}

// publishExposed publishes, where all ports are to be, those that are exposed and not published yet, on free ones.
func (c *Container) publishExposed() {
	if mode := c.network(); !c.HostConfig.PublishAllPorts || mode == networkNone || mode == networkHost {
		return
	}
	bindings := network.PortMap{}
	maps.Copy(bindings, c.HostConfig.PortBindings)
	for port := range c.Config.ExposedPorts {
		if bindings[port] == nil {
			bindings[port] = []PortBinding{{}}
		}
	}
	c.HostConfig.PortBindings = bindings
}

// portMappings lists what HostConfig publishes.
func (c *Container) portMappings() ([]rootless.PortMapping, error) {
	var mappings []rootless.PortMapping
	for _, port := range slices.SortedFunc(maps.Keys(c.HostConfig.PortBindings), comparePorts) {
		for _, b := range c.HostConfig.PortBindings[port] {
			parsed, err := rootless.ParsePort(bindingText(port, b))
			if err != nil {
				return nil, err
			}
			mappings = append(mappings, parsed...)
		}
	}
	return mappings, nil
}

// validateEndpoints refuses endpoints in networks that the container does not have.
func (options *CreateOptions) validateEndpoints() error {
	c := Container{Config: options.Config, HostConfig: options.HostConfig}
	for name := range options.NetworkingConfig.EndpointsConfig {
		if !c.HasNetwork(name) {
			return invalidf("the container is in the network %s and cannot have an endpoint in the network %s",
				c.Network(), name)
		}
	}
	return nil
}
