package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/rootless"
)

// Inspection is what inspect prints of a container: Docker's object, as far as rcrun has the facts.
type Inspection struct {
	ID              string          `json:"Id"`
	Created         string          `json:"Created"` // times are in RFC 3339 with nanoseconds, as templates print them
	Path            string          `json:"Path"`
	Args            []string        `json:"Args"`
	State           InspectState    `json:"State"`
	Image           string          `json:"Image"`
	ResolvConfPath  string          `json:"ResolvConfPath"`
	HostnamePath    string          `json:"HostnamePath"`
	HostsPath       string          `json:"HostsPath"`
	LogPath         string          `json:"LogPath"`
	Name            string          `json:"Name"` // with a leading slash, as Docker has it
	Driver          string          `json:"Driver"`
	Platform        string          `json:"Platform"`
	RestartCount    int             `json:"RestartCount"`    // nobody starts a container again
	AppArmorProfile string          `json:"AppArmorProfile"` // these labels need root
	MountLabel      string          `json:"MountLabel"`
	ProcessLabel    string          `json:"ProcessLabel"`
	GraphDriver     InspectDriver   `json:"GraphDriver"`
	HostConfig      InspectHost     `json:"HostConfig"`
	Config          Config          `json:"Config"`
	Mounts          []InspectMount  `json:"Mounts"`
	NetworkSettings InspectNetworks `json:"NetworkSettings"`
	SizeRw          *int64          `json:"SizeRw,omitempty"`     // bytes that the container has written; nil where nobody asked
	SizeRootFs      *int64          `json:"SizeRootFs,omitempty"` // the same with its image
}

// InspectDriver is the GraphDriver of an Inspection.
type InspectDriver struct {
	Name string            `json:"Name"`
	Data map[string]string `json:"Data"`
}

// InspectHost is the HostConfig of an Inspection: what was asked for, and settings that every container has, since
// there is no other value.
type InspectHost struct {
	HostConfig
	CgroupnsMode string   `json:"CgroupnsMode"`
	IpcMode      string   `json:"IpcMode"`
	PidMode      string   `json:"PidMode"`
	UTSMode      string   `json:"UTSMode"`
	Devices      []string `json:"Devices"`
	GroupAdd     []string `json:"GroupAdd"`
	Links        []string `json:"Links"`
	VolumesFrom  []string `json:"VolumesFrom"`
}

// InspectState is the State of an Inspection.
type InspectState struct {
	Status     Status `json:"Status"`
	Running    bool   `json:"Running"`
	Paused     bool   `json:"Paused"`
	Restarting bool   `json:"Restarting"`
	OOMKilled  bool   `json:"OOMKilled"`
	Dead       bool   `json:"Dead"`
	Pid        int    `json:"Pid"`
	ExitCode   int    `json:"ExitCode"`
	Error      string `json:"Error"`
	StartedAt  string `json:"StartedAt"`
	FinishedAt string `json:"FinishedAt"`
}

// InspectMount is one of the Mounts of an Inspection.
type InspectMount struct {
	Type        string `json:"Type"`
	Source      string `json:"Source"`
	Destination string `json:"Destination"`
	Mode        string `json:"Mode"`
	RW          bool   `json:"RW"`
	Propagation string `json:"Propagation"`
}

// InspectNetworks is the NetworkSettings of an Inspection.
type InspectNetworks struct {
	Ports    map[string][]PortBinding   `json:"Ports"`
	Networks map[string]InspectEndpoint `json:"Networks"`
	InspectEndpoint
}

// InspectEndpoint is where a container is in a network. Addresses are those that the container itself has, which the
// host cannot reach, and empty where it does not run.
type InspectEndpoint struct {
	IPAddress   string `json:"IPAddress"`
	IPPrefixLen int    `json:"IPPrefixLen"`
	Gateway     string `json:"Gateway"`
}

// Inspect returns what is known about the container, in a store with the given storage driver.
func (c *Container) Inspect(driver string) (Inspection, error) {
	mounts, err := c.Mounts()
	if err != nil {
		return Inspection{}, err
	}
	command := c.Config.command()
	i := Inspection{
		ID: c.ID, Created: c.Created.Format(time.RFC3339Nano), Path: command[0], Args: command[1:],
		Image: imageRef(c.ImageID), Name: "/" + c.Name, Driver: driver, Platform: "linux",
		ResolvConfPath: c.path(resolvFile), HostnamePath: c.path(hostnameFile), HostsPath: c.path(hostsFile), LogPath: c.path(logFile),
		GraphDriver: InspectDriver{Name: driver}, Config: c.Config, Mounts: mounts,
		HostConfig: InspectHost{HostConfig: c.HostConfig, CgroupnsMode: "private", IpcMode: "private"},
	}
	i.HostConfig.NetworkMode = c.network()
	i.NetworkSettings = c.inspectNetworks()
	s := c.State
	i.State = InspectState{Status: s.Status, Running: s.Status == Running, Pid: s.Pid, ExitCode: s.ExitCode,
		Error:     cmp.Or(s.Error, s.NetworkProblem),
		StartedAt: s.StartedAt.Format(time.RFC3339Nano), FinishedAt: s.FinishedAt.Format(time.RFC3339Nano)}
	return i, nil
}

func (c *Container) inspectNetworks() InspectNetworks {
	n := InspectNetworks{Ports: map[string][]PortBinding{}}
	name := c.Network()
	if c.State.Status == Running {
		for port := range c.Config.ExposedPorts {
			n.Ports[port] = nil
		}
		for port, bindings := range c.State.Ports {
			n.Ports[port] = boundAddresses(bindings)
		}
		if name == networkSlirp {
			n.InspectEndpoint = InspectEndpoint{rootless.SlirpAddress, rootless.SlirpPrefix, rootless.SlirpGateway}
		}
	}
	n.Networks = map[string]InspectEndpoint{name: n.InspectEndpoint}
	return n
}

// boundAddresses says of bindings to all addresses that they are.
func boundAddresses(bindings []PortBinding) []PortBinding {
	all := slices.Clone(bindings)
	for i := range all {
		all[i].HostIP = cmp.Or(all[i].HostIP, "0.0.0.0")
	}
	return all
}

// imageRef is an image's id as Docker prints it; a container without an image has none.
func imageRef(id string) string {
	if id == "" {
		return ""
	}
	return "sha256:" + id
}

// Mounts lists what is mounted in the container from the host.
func (c *Container) Mounts() ([]InspectMount, error) {
	mounts := []InspectMount{}
	for _, text := range c.HostConfig.Binds {
		b, err := parseBind(text)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, InspectMount{Type: "bind", Source: b.source, Destination: b.target, Mode: b.options[2], RW: b.options[2] == "rw",
			Propagation: b.options[1]})
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
	case s.Status == Exited && s.FinishedAt.IsZero():
		return "Exited (unknown)"
	case s.Status == Exited:
		return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, units.HumanDuration(now.Sub(s.FinishedAt)))
	}
	return "Created"
}
