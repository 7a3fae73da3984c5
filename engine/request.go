package engine

import (
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/internal/fields"
	"github.com/rcrun/rcrun/rootless"
)

// Reasons that several fields share.
const (
	noCgroup    = "it needs a cgroup, and rcrun makes none"
	warnedOf    = "a limit needs a cgroup, and rcrun makes none, which HostConfig.Warning tells"
	forWindows  = "it is for Windows"
	noVolumes   = "there are no named volumes, but directories of the host can be mounted"
	noNames     = "containers do not see each other, but their ports can be published"
	ownNetwork  = "every container has a network of its own, with the same address"
	noRestart   = "rcrun does not start a container again"
	operational = "it tells of a container that runs, and Docker does not look at it either"
	oneLog      = "rcrun keeps the output of containers in one form"
	boundedLog  = "the log is bounded at 64 MiB, and as much of what came before"
	forBuilds   = "it is for builds, and Docker does not look at it either when a container runs"
)

// requestFields are the fields of CreateOptions. What is honoured does what Docker does. A value that is refused and
// means what rcrun does anyway is taken.
var requestFields = fields.Table{
	"Name":             fields.Honour(),
	"Config":           fields.Honour(),
	"HostConfig":       fields.Honour(),
	"NetworkingConfig": fields.Honour(),

	"Config.Hostname":        fields.Honour(),
	"Config.Domainname":      fields.Honour(),
	"Config.User":            fields.Honour(),
	"Config.AttachStdin":     fields.Honour(),
	"Config.AttachStdout":    fields.Honour(),
	"Config.AttachStderr":    fields.Honour(),
	"Config.ExposedPorts":    fields.Honour(),
	"Config.Tty":             fields.Honour(),
	"Config.OpenStdin":       fields.Honour(),
	"Config.StdinOnce":       fields.Honour(),
	"Config.Env":             fields.Honour(),
	"Config.Cmd":             fields.Honour(),
	"Config.Healthcheck":     fields.Ignore("health checks are not run, which Container.Undone tells"),
	"Config.ArgsEscaped":     fields.Ignore(forWindows + ", and Docker does not look at it here either"),
	"Config.Image":           fields.Honour(),
	"Config.Volumes":         fields.Honour(), // by a directory in the root, which Container.Undone tells
	"Config.WorkingDir":      fields.Honour(),
	"Config.Entrypoint":      fields.Honour(),
	"Config.NetworkDisabled": fields.Honour(),
	"Config.OnBuild":         fields.Ignore(forBuilds),
	"Config.Labels":          fields.Honour(),
	"Config.StopSignal":      fields.Honour(),
	"Config.StopTimeout":     fields.Honour(),
	"Config.Shell":           fields.Ignore(forBuilds),

	"HostConfig.Binds":                           fields.Honour(),
	"HostConfig.ContainerIDFile":                 fields.Honour(),
	"HostConfig.LogConfig":                       fields.Honour(),
	"HostConfig.LogConfig.Type":                  fields.Refuse(oneLog, "json-file"),
	"HostConfig.LogConfig.Config":                fields.Refuse(boundedLog),
	"HostConfig.NetworkMode":                     fields.Honour(),
	"HostConfig.PortBindings":                    fields.Honour(),
	"HostConfig.PortBindings.HostIp":             fields.Honour(),
	"HostConfig.PortBindings.HostPort":           fields.Honour(),
	"HostConfig.RestartPolicy":                   fields.Honour(),
	"HostConfig.RestartPolicy.Name":              fields.Refuse(noRestart, "no"),
	"HostConfig.RestartPolicy.MaximumRetryCount": fields.Refuse(noRestart),
	"HostConfig.AutoRemove":                      fields.Honour(),
	"HostConfig.VolumeDriver":                    fields.Refuse(noVolumes, "local"),
	"HostConfig.VolumesFrom":                     fields.Refuse(noVolumes),
	"HostConfig.ConsoleSize":                     fields.Honour(),
	"HostConfig.Annotations":                     fields.Honour(),

	"HostConfig.CapAdd":          fields.Honour(),
	"HostConfig.CapDrop":         fields.Honour(),
	"HostConfig.CgroupnsMode":    fields.Refuse("a container always has a cgroup namespace of its own", "private"),
	"HostConfig.Dns":             fields.Honour(),
	"HostConfig.DnsOptions":      fields.Honour(),
	"HostConfig.DnsSearch":       fields.Honour(),
	"HostConfig.ExtraHosts":      fields.Honour(),
	"HostConfig.GroupAdd":        fields.Refuse("the groups of a user are those of /etc/group in the image"),
	"HostConfig.IpcMode":         fields.Refuse("a container always has an IPC namespace of its own", "private"),
	"HostConfig.Cgroup":          fields.Refuse(noCgroup),
	"HostConfig.Links":           fields.Refuse(noNames),
	"HostConfig.OomScoreAdj":     fields.Refuse("processes have that of the program that starts the container"),
	"HostConfig.PidMode":         fields.Refuse("every container has process ids of its own"),
	"HostConfig.Privileged":      fields.Honour(),
	"HostConfig.PublishAllPorts": fields.Honour(),
	"HostConfig.ReadonlyRootfs":  fields.Honour(),
	"HostConfig.SecurityOpt":     fields.Honour(),
	"HostConfig.StorageOpt":      fields.Honour(),
	"HostConfig.Tmpfs":           fields.Honour(),
	"HostConfig.UTSMode":         fields.Refuse("every container has a host name of its own"),
	"HostConfig.UsernsMode":      fields.Honour(),
	"HostConfig.ShmSize":         fields.Honour(),
	"HostConfig.Sysctls":         fields.Honour(),
	"HostConfig.Runtime":         fields.Refuse("rcrun has one runtime, its own"),
	"HostConfig.Umask":           fields.Honour(),
	"HostConfig.Isolation":       fields.Refuse("there is one kind of isolation", "default"),
	"HostConfig.Mounts":          fields.Refuse("Binds mounts a directory of the host, and Tmpfs memory"),
	"HostConfig.MaskedPaths":     fields.Honour(),
	"HostConfig.ReadonlyPaths":   fields.Honour(),
	"HostConfig.Init":            fields.Honour(),

	"HostConfig.CpuShares":            fields.Ignore(warnedOf),
	"HostConfig.Memory":               fields.Ignore(warnedOf),
	"HostConfig.NanoCpus":             fields.Ignore(warnedOf),
	"HostConfig.CgroupParent":         fields.Ignore(warnedOf),
	"HostConfig.BlkioWeight":          fields.Ignore(warnedOf),
	"HostConfig.BlkioWeightDevice":    fields.Ignore(warnedOf),
	"HostConfig.BlkioDeviceReadBps":   fields.Ignore(warnedOf),
	"HostConfig.BlkioDeviceWriteBps":  fields.Ignore(warnedOf),
	"HostConfig.BlkioDeviceReadIOps":  fields.Ignore(warnedOf),
	"HostConfig.BlkioDeviceWriteIOps": fields.Ignore(warnedOf),
	"HostConfig.CpuPeriod":            fields.Ignore(warnedOf),
	"HostConfig.CpuQuota":             fields.Ignore(warnedOf),
	"HostConfig.CpuRealtimePeriod":    fields.Ignore(warnedOf),
	"HostConfig.CpuRealtimeRuntime":   fields.Ignore(warnedOf),
	"HostConfig.CpusetCpus":           fields.Ignore(warnedOf),
	"HostConfig.CpusetMems":           fields.Ignore(warnedOf),
	"HostConfig.MemoryReservation":    fields.Ignore(warnedOf),
	"HostConfig.MemorySwap":           fields.Ignore(warnedOf),
	"HostConfig.MemorySwappiness":     fields.Ignore(warnedOf),
	"HostConfig.OomKillDisable":       fields.Ignore(warnedOf),
	"HostConfig.PidsLimit":            fields.Ignore(warnedOf),
	"HostConfig.KernelMemory":         fields.Ignore(warnedOf),
	"HostConfig.Ulimits":              fields.Honour(),
	"HostConfig.Ulimits.Name":         fields.Honour(),
	"HostConfig.Ulimits.Hard":         fields.Honour(),
	"HostConfig.Ulimits.Soft":         fields.Honour(),
	"HostConfig.Devices":              fields.Refuse("Binds mounts the host's device, if the user may open it"),
	"HostConfig.DeviceCgroupRules":    fields.Refuse(noCgroup),
	"HostConfig.DeviceRequests":       fields.Refuse("Binds mounts the host's devices, if the user may open them"),
	"HostConfig.CpuCount":             fields.Refuse(forWindows),
	"HostConfig.CpuPercent":           fields.Refuse(forWindows),
	"HostConfig.IOMaximumIOps":        fields.Refuse(forWindows),
	"HostConfig.IOMaximumBandwidth":   fields.Refuse(forWindows),
	"HostConfig.Rootfs":               fields.Honour(),
	"HostConfig.RootfsOverlay":        fields.Honour(),

	"NetworkingConfig.EndpointsConfig":                     fields.Honour(),
	"NetworkingConfig.EndpointsConfig.IPAMConfig":          fields.Refuse(ownNetwork),
	"NetworkingConfig.EndpointsConfig.Links":               fields.Refuse(noNames),
	"NetworkingConfig.EndpointsConfig.Aliases":             fields.Refuse(noNames),
	"NetworkingConfig.EndpointsConfig.DriverOpts":          fields.Refuse("the networks have no options"),
	"NetworkingConfig.EndpointsConfig.GwPriority":          fields.Ignore("a container has one network"),
	"NetworkingConfig.EndpointsConfig.NetworkID":           fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.EndpointID":          fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.Gateway":             fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.IPAddress":           fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.MacAddress":          fields.Refuse(ownNetwork),
	"NetworkingConfig.EndpointsConfig.IPPrefixLen":         fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.IPv6Gateway":         fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.GlobalIPv6Address":   fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.GlobalIPv6PrefixLen": fields.Ignore(operational),
	"NetworkingConfig.EndpointsConfig.DNSNames":            fields.Ignore(operational),
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

// validateUserns refuses modes of the user namespace that there are not.
func (h *HostConfig) validateUserns() error {
	mode := string(h.UsernsMode)
	if slices.Contains([]string{"", rootless.ModeHost, rootless.ModeKeepID, rootless.ModeNoMap}, mode) {
		return nil
	}
	return invalidf("invalid user namespace mode %q: use host, keep-id or nomap", mode)
}

// validateSysctls refuses names that lead out of the kernel's settings.
func (h *HostConfig) validateSysctls() error {
	for name := range h.Sysctls {
		file := name
		if !strings.Contains(name, "/") {
			file = strings.ReplaceAll(name, ".", "/")
		}
		if file == "" || path.Clean("/"+file) != "/"+file {
			return invalidf("invalid sysctl %q: want a name such as net.ipv4.ip_forward", name)
		}
	}
	return nil
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
