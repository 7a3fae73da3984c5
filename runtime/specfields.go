package runtime

import (
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/fields"
)

const (
	otherPlatform = "it is of another platform"
	noCgroup      = "the runtime makes no cgroups"
	noModule      = "the runtime sets no labels of security modules"
	hostNode      = "a user cannot make device nodes: that of the host is bound, with its own mode and owner"
)

// specFields has the treatment of each field of the specification by its path in JSON. Elements of lists and maps have
// the path of the list or map. A field that is missing here, such as one of a later version of the specification, is
// refused.
var specFields = fields.Table{
	"ociVersion":  fields.Ignore("what matters is which fields are set"),
	"hostname":    fields.Honour(),
	"domainname":  fields.Honour(),
	"hooks":       fields.Refuse("the runtime calls no hooks"),
	"annotations": fields.Ignore("they are for programs that read the specification"),
	"solaris":     fields.Refuse(otherPlatform),
	"windows":     fields.Refuse(otherPlatform),
	"vm":          fields.Refuse(otherPlatform),
	"zos":         fields.Refuse(otherPlatform),
	"freebsd":     fields.Refuse(otherPlatform),

	"process":                          fields.Honour(),
	"process.terminal":                 fields.Honour(),
	"process.consoleSize":              fields.Honour(),
	"process.consoleSize.height":       fields.Honour(),
	"process.consoleSize.width":        fields.Honour(),
	"process.user":                     fields.Honour(),
	"process.user.uid":                 fields.Honour(),
	"process.user.gid":                 fields.Honour(),
	"process.user.umask":               fields.Honour(),
	"process.user.additionalGids":      fields.Honour(),
	"process.user.username":            fields.Honour(),
	"process.args":                     fields.Honour(),
	"process.commandLine":              fields.Refuse(otherPlatform),
	"process.env":                      fields.Honour(),
	"process.cwd":                      fields.Honour(),
	"process.capabilities":             fields.Honour(),
	"process.capabilities.bounding":    fields.Honour(),
	"process.capabilities.effective":   fields.Honour(),
	"process.capabilities.inheritable": fields.Honour(),
	"process.capabilities.permitted":   fields.Honour(),
	"process.capabilities.ambient":     fields.Honour(),
	"process.rlimits":                  fields.Honour(),
	"process.rlimits.type":             fields.Honour(),
	"process.rlimits.hard":             fields.Honour(),
	"process.rlimits.soft":             fields.Honour(),
	"process.noNewPrivileges":          fields.Honour(),
	"process.apparmorProfile":          fields.Refuse(noModule),
	"process.selinuxLabel":             fields.Refuse(noModule),
	"process.oomScoreAdj":              fields.Honour(),
	"process.scheduler":                fields.Refuse("the payload has the scheduling policy of the caller"),
	"process.ioPriority":               fields.Refuse("the payload has the I/O priority of the caller"),
	"process.execCPUAffinity":          fields.Refuse("a further process may use the CPUs that the caller may use"),

	"root":          fields.Honour(),
	"root.path":     fields.Ignore("Config.RootKind says what the root is"),
	"root.readonly": fields.Honour(),

	"mounts":             fields.Honour(),
	"mounts.destination": fields.Honour(),
	"mounts.type":        fields.Honour(),
	"mounts.source":      fields.Honour(),
	"mounts.options":     fields.Honour(),
	"mounts.uidMappings": fields.Refuse("the runtime maps no ids of a mount"),
	"mounts.gidMappings": fields.Refuse("the runtime maps no ids of a mount"),

	"linux":                         fields.Honour(),
	"linux.uidMappings":             fields.Ignore("Config.MapIDs writes the map"),
	"linux.gidMappings":             fields.Ignore("Config.MapIDs writes the map"),
	"linux.sysctl":                  fields.Honour(),
	"linux.resources":               fields.Refuse(noCgroup),
	"linux.cgroupsPath":             fields.Refuse(noCgroup),
	"linux.namespaces":              fields.Honour(),
	"linux.namespaces.type":         fields.Honour(),
	"linux.namespaces.path":         fields.Honour(),
	"linux.devices":                 fields.Honour(),
	"linux.devices.path":            fields.Honour(),
	"linux.devices.type":            fields.Honour(),
	"linux.devices.major":           fields.Honour(),
	"linux.devices.minor":           fields.Honour(),
	"linux.devices.fileMode":        fields.Refuse(hostNode),
	"linux.devices.uid":             fields.Refuse(hostNode),
	"linux.devices.gid":             fields.Refuse(hostNode),
	"linux.netDevices":              fields.Refuse("a user cannot move network devices of the host"),
	"linux.rootfsPropagation":       fields.Honour(),
	"linux.maskedPaths":             fields.Honour(),
	"linux.readonlyPaths":           fields.Honour(),
	"linux.mountLabel":              fields.Refuse(noModule),
	"linux.intelRdt":                fields.Refuse("only root of the host may change resctrl"),
	"linux.memoryPolicy":            fields.Refuse("the payload has the memory policy of the caller"),
	"linux.personality":             fields.Refuse("the payload has the execution domain of the caller"),
	"linux.timeOffsets":             fields.Refuse("the runtime makes no time namespaces"),
	"linux.seccomp":                 fields.Honour(),
	"linux.seccomp.defaultAction":   fields.Honour(),
	"linux.seccomp.defaultErrnoRet": fields.Honour(),
	"linux.seccomp.architectures":   fields.Honour(),
	"linux.seccomp.flags":           fields.Honour(),

	"linux.seccomp.listenerPath":           fields.Refuse("nothing listens to filters"),
	"linux.seccomp.listenerMetadata":       fields.Refuse("nothing listens to filters"),
	"linux.seccomp.syscalls":               fields.Honour(),
	"linux.seccomp.syscalls.names":         fields.Honour(),
	"linux.seccomp.syscalls.action":        fields.Honour(),
	"linux.seccomp.syscalls.errnoRet":      fields.Honour(),
	"linux.seccomp.syscalls.args":          fields.Honour(),
	"linux.seccomp.syscalls.args.index":    fields.Honour(),
	"linux.seccomp.syscalls.args.value":    fields.Honour(),
	"linux.seccomp.syscalls.args.valueTwo": fields.Honour(),
	"linux.seccomp.syscalls.args.op":       fields.Honour(),
}

// validateExec refuses the description of a further process that asks for what the process would not get.
func validateExec(process *specs.Process) error {
	if process == nil {
		return fault.Errorf(errdefs.ErrInvalidArgument, "the process is not described")
	}
	if process.OOMScoreAdj != nil {
		return fault.Errorf(errdefs.ErrNotImplemented,
			"process.oomScoreAdj is not supported: of further processes it is that of the sandbox")
	}
	return specFields.Check(process, "process")
}
