package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
	"github.com/rcrun/rcrun/rootless"
)

// Inspection is what is known of a container: Docker's object, with what it has no field for.
//
// Ports and addresses are texts, with the same JSON as Docker's, because templates name and print them: a map of ports
// cannot be indexed by "80/tcp", and an address that is not there would be printed as "invalid IP".
type Inspection struct {
	container.InspectResponse
	Config          InspectConfig
	HostConfig      InspectHost
	NetworkSettings *NetworkSettings
}

// InspectConfig is the configuration of an Inspection.
type InspectConfig struct {
	Config
	ExposedPorts map[string]struct{} `json:",omitempty"`
}

// InspectHost is the HostConfig of an Inspection.
type InspectHost struct {
	HostConfig
	PortBindings map[string][]InspectBinding
}

// InspectBinding is where on the host a port is published.
type InspectBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// NetworkSettings is how a container is connected. The addresses beside the networks are those that Docker had there
// until version 29.
type NetworkSettings struct {
	container.NetworkSettings
	Ports       map[string][]InspectBinding
	Networks    map[string]*Endpoint
	IPAddress   string
	IPPrefixLen int
	Gateway     string
}

// Endpoint is where a container is in a network. Addresses are those that the container itself has, which the host
// cannot reach, and empty where it does not run.
type Endpoint struct {
	network.EndpointSettings
	Gateway           string
	IPAddress         string
	IPv6Gateway       string
	GlobalIPv6Address string
}

// Inspect returns what is known about the container, in a store with the given storage driver.
func (c *Container) Inspect(ctx context.Context, driver string) (Inspection, error) {
	mounts, err := c.Mounts()
	if err != nil {
		return Inspection{}, err
	}
	command := commandOf(&c.Config)
	host := InspectHost{HostConfig: c.HostConfig, PortBindings: bindingTexts(c.HostConfig.PortBindings)}
	host.NetworkMode, host.CgroupnsMode, host.IpcMode = container.NetworkMode(c.network()), "private", "private"
	return Inspection{
		InspectResponse: container.InspectResponse{
			ID: c.ID, Created: c.Created.Format(time.RFC3339Nano), Path: command[0], Args: command[1:],
			State: c.inspectState(), Image: imageRef(c.ImageID), Name: "/" + c.Name, Driver: driver, Platform: "linux",
			ResolvConfPath: c.path(resolvFile), HostnamePath: c.path(hostnameFile), HostsPath: c.path(hostsFile),
			LogPath: c.path(logFile), ExecIDs: c.execIDs(ctx), GraphDriver: &storage.DriverData{Name: driver},
			Mounts: mounts,
		},
		Config:     InspectConfig{Config: c.Config, ExposedPorts: portTexts(c.Config.ExposedPorts)},
		HostConfig: host, NetworkSettings: c.inspectNetworks(),
	}, nil
}

func (c *Container) inspectState() *container.State {
	s := c.State
	return &container.State{Status: container.ContainerState(s.Status), Running: s.Status.Up(),
		Paused: s.Status == Paused, Restarting: s.Status == Restarting, Dead: s.Status == Dead, Pid: s.Pid,
		ExitCode: s.ExitCode, Error: cmp.Or(s.Error, s.NetworkProblem),
		StartedAt: s.StartedAt.Format(time.RFC3339Nano), FinishedAt: s.FinishedAt.Format(time.RFC3339Nano)}
}

func (c *Container) inspectNetworks() *NetworkSettings {
	n := &NetworkSettings{Ports: map[string][]InspectBinding{}}
	if c.State.Status.Up() {
		for port := range c.Config.ExposedPorts {
			n.Ports[port.String()] = nil
		}
		maps.Copy(n.Ports, boundAddresses(bindingTexts(c.State.Ports)))
	}
	settings := c.Endpoint()
	end := &Endpoint{EndpointSettings: settings, Gateway: addressText(settings.Gateway),
		IPAddress: addressText(settings.IPAddress)}
	n.IPAddress, n.IPPrefixLen, n.Gateway = end.IPAddress, end.IPPrefixLen, end.Gateway
	n.Networks = map[string]*Endpoint{c.Network(): end}
	return n
}

// Endpoint is where the container is in its network. Addresses are those that the container itself has.
func (c *Container) Endpoint() (end network.EndpointSettings) {
	if c.State.Status.Up() && c.Network() == networkSlirp {
		end.IPAddress, end.IPPrefixLen = slirpAddress(rootless.SlirpAddress), rootless.SlirpPrefix
		end.Gateway = slirpAddress(rootless.SlirpGateway)
	}
	return end
}

// slirpAddress reads an address that slirp4netns has.
func slirpAddress(text string) netip.Addr {
	address, _ := netip.ParseAddr(text) // it is a constant
	return address
}

func addressText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}

// portTexts are ports as texts, nil for none.
func portTexts(ports network.PortSet) map[string]struct{} {
	if ports == nil {
		return nil
	}
	texts := map[string]struct{}{}
	for port := range ports {
		texts[port.String()] = struct{}{}
	}
	return texts
}

// bindingTexts are bindings as texts, nil for none.
func bindingTexts(bindings network.PortMap) map[string][]InspectBinding {
	if bindings == nil {
		return nil
	}
	texts := map[string][]InspectBinding{}
	for port, list := range bindings {
		var all []InspectBinding
		for _, b := range list {
			all = append(all, InspectBinding{addressText(b.HostIP), b.HostPort})
		}
		texts[port.String()] = all
	}
	return texts
}

// boundAddresses says of bindings to all addresses that they are.
func boundAddresses(bindings map[string][]InspectBinding) map[string][]InspectBinding {
	for _, list := range bindings {
		for i := range list {
			list[i].HostIP = cmp.Or(list[i].HostIP, "0.0.0.0")
		}
	}
	return bindings
}

// imageRef is an image's id as Docker prints it; a container without an image has none.
func imageRef(id string) string {
	if id == "" {
		return ""
	}
	return "sha256:" + id
}

// Mounts lists what is mounted in the container from the host.
func (c *Container) Mounts() ([]container.MountPoint, error) {
	mounts := []container.MountPoint{}
	binds, err := c.HostConfig.binds()
	if err != nil {
		return nil, err
	}
	for _, b := range binds {
		mounts = append(mounts, container.MountPoint{Type: mount.TypeBind, Source: b.source, Destination: b.target,
			Mode: b.options[2], RW: b.options[2] == "rw", Propagation: mount.Propagation(b.options[1])})
	}
	return mounts, nil
}

// StatusText is the container's state as ps shows it: "Up 2 minutes", "Exited (0) 3 hours ago".
func (c *Container) StatusText(now time.Time) string {
	switch s := c.State; {
	case s.Status == Running && s.NetworkProblem != "":
		return "Up " + units.HumanDuration(now.Sub(s.StartedAt)) + " (no network)"
	case s.Status == Running:
		return "Up " + units.HumanDuration(now.Sub(s.StartedAt))
	case s.Status == Paused:
		return "Up " + units.HumanDuration(now.Sub(s.StartedAt)) + " (Paused)"
	case s.Status == Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, units.HumanDuration(now.Sub(s.FinishedAt)))
	case s.Status == Removing:
		return "Removal In Progress"
	case s.Status == Dead:
		return "Dead"
	case s.Status == Exited && s.FinishedAt.IsZero():
		return "Exited (unknown)"
	case s.Status == Exited:
		return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, units.HumanDuration(now.Sub(s.FinishedAt)))
	}
	return "Created"
}
