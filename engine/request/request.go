// Package request says what becomes of each field of a request for a container. It is one long table, which a reader of
// the engine looks up and does not read, and therefore a package of its own.
package request

import "github.com/rcrun/rcrun/internal/fields"

// Reasons that several fields share.
const (
	noCgroup    = "it needs a cgroup, and rcrun makes none"
	forWindows  = "it is for Windows"
	noVolumes   = "there are no named volumes, but directories of the host can be mounted"
	mountTypes  = "a directory or file of the host can be mounted, and memory, and nothing else"
	allReadOnly = "a read-only mount is read-only with all that is mounted below it"
	noNames     = "containers do not see each other, but their ports can be published"
	ownNetwork  = "every container has a network of its own, with the same address"
	noRestart   = "rcrun does not start a container again"
	operational = "it tells of a container that runs, and Docker does not look at it either"
	otherHosts  = "it is for hosts that run containers in a virtual machine"
	oneLog      = "rcrun keeps the output of containers in one form"
	boundedLog  = "the log is bounded at 64 MiB, and as much of what came before"
	forBuilds   = "it is for builds, and Docker does not look at it either when a container runs"
)

// WarnedOf is the reason why a limit is ignored, with a warning.
const WarnedOf = "a limit needs a cgroup, and rcrun makes none, which HostConfig.Warning tells"

// Fields are the fields of engine.CreateOptions. What is honoured does what Docker does. A value that is refused and
// means what rcrun does anyway is taken.
var Fields = fields.Table{
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
	"HostConfig.Mounts":          fields.Honour(),
	"HostConfig.MaskedPaths":     fields.Honour(),
	"HostConfig.ReadonlyPaths":   fields.Honour(),
	"HostConfig.Init":            fields.Honour(),

	"HostConfig.Mounts.Type":                               fields.Refuse(mountTypes, "bind", "tmpfs"),
	"HostConfig.Mounts.Source":                             fields.Honour(),
	"HostConfig.Mounts.Target":                             fields.Honour(),
	"HostConfig.Mounts.ReadOnly":                           fields.Honour(),
	"HostConfig.Mounts.Consistency":                        fields.Ignore(otherHosts),
	"HostConfig.Mounts.BindOptions":                        fields.Honour(),
	"HostConfig.Mounts.BindOptions.Propagation":            fields.Honour(),
	"HostConfig.Mounts.BindOptions.NonRecursive":           fields.Honour(),
	"HostConfig.Mounts.BindOptions.CreateMountpoint":       fields.Honour(),
	"HostConfig.Mounts.BindOptions.ReadOnlyNonRecursive":   fields.Refuse(allReadOnly),
	"HostConfig.Mounts.BindOptions.ReadOnlyForceRecursive": fields.Honour(),
	"HostConfig.Mounts.VolumeOptions":                      fields.Refuse(noVolumes),
	"HostConfig.Mounts.ImageOptions":                       fields.Refuse(mountTypes),
	"HostConfig.Mounts.TmpfsOptions":                       fields.Honour(),
	"HostConfig.Mounts.TmpfsOptions.SizeBytes":             fields.Honour(),
	"HostConfig.Mounts.TmpfsOptions.Mode":                  fields.Honour(),
	"HostConfig.Mounts.TmpfsOptions.Options":               fields.Honour(),
	"HostConfig.Mounts.ClusterOptions":                     fields.Ignore("it has no fields"),

	"HostConfig.CpuShares":            fields.Ignore(WarnedOf),
	"HostConfig.Memory":               fields.Ignore(WarnedOf),
	"HostConfig.NanoCpus":             fields.Ignore(WarnedOf),
	"HostConfig.CgroupParent":         fields.Ignore(WarnedOf),
	"HostConfig.BlkioWeight":          fields.Ignore(WarnedOf),
	"HostConfig.BlkioWeightDevice":    fields.Ignore(WarnedOf),
	"HostConfig.BlkioDeviceReadBps":   fields.Ignore(WarnedOf),
	"HostConfig.BlkioDeviceWriteBps":  fields.Ignore(WarnedOf),
	"HostConfig.BlkioDeviceReadIOps":  fields.Ignore(WarnedOf),
	"HostConfig.BlkioDeviceWriteIOps": fields.Ignore(WarnedOf),
	"HostConfig.CpuPeriod":            fields.Ignore(WarnedOf),
	"HostConfig.CpuQuota":             fields.Ignore(WarnedOf),
	"HostConfig.CpuRealtimePeriod":    fields.Ignore(WarnedOf),
	"HostConfig.CpuRealtimeRuntime":   fields.Ignore(WarnedOf),
	"HostConfig.CpusetCpus":           fields.Ignore(WarnedOf),
	"HostConfig.CpusetMems":           fields.Ignore(WarnedOf),
	"HostConfig.MemoryReservation":    fields.Ignore(WarnedOf),
	"HostConfig.MemorySwap":           fields.Ignore(WarnedOf),
	"HostConfig.MemorySwappiness":     fields.Ignore(WarnedOf),
	"HostConfig.OomKillDisable":       fields.Ignore(WarnedOf),
	"HostConfig.PidsLimit":            fields.Ignore(WarnedOf),
	"HostConfig.KernelMemory":         fields.Ignore(WarnedOf),
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
