package runtime

import (
	"reflect"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rcrun/rcrun/internal/fault"
)

// treatment tells what the runtime does with a field of the specification that is set. The zero value means that it
// does what the field asks for, as far as the fields within do not say otherwise.
type treatment struct {
	refused string // the reason, if the field is an error
	unused  string // the reason, if the runtime ignores the field and may do so
}

var honoured = treatment{}

func refuse(reason string) treatment { return treatment{refused: reason} }
func ignore(reason string) treatment { return treatment{unused: reason} }

const (
	otherPlatform = "it is of another platform"
	noCgroup      = "the runtime makes no cgroups"
	noModule      = "the runtime sets no labels of security modules"
	hostNode      = "a user cannot make device nodes: that of the host is bound, with its own mode and owner"
)

// specFields has the treatment of each field of the specification by its path in JSON. Elements of lists and maps have
// the path of the list or map. A field that is missing here, such as one of a later version of the specification, is
// refused.
var specFields = map[string]treatment{
	"ociVersion":  ignore("what matters is which fields are set"),
	"hostname":    honoured,
	"domainname":  honoured,
	"hooks":       refuse("the runtime calls no hooks"),
	"annotations": ignore("they are for programs that read the specification"),
	"solaris":     refuse(otherPlatform),
	"windows":     refuse(otherPlatform),
	"vm":          refuse(otherPlatform),
	"zos":         refuse(otherPlatform),
	"freebsd":     refuse(otherPlatform),

	"process":                          honoured,
	"process.terminal":                 honoured,
	"process.consoleSize":              honoured,
	"process.consoleSize.height":       honoured,
	"process.consoleSize.width":        honoured,
	"process.user":                     honoured,
	"process.user.uid":                 honoured,
	"process.user.gid":                 honoured,
	"process.user.umask":               honoured,
	"process.user.additionalGids":      honoured,
	"process.user.username":            honoured,
	"process.args":                     honoured,
	"process.commandLine":              refuse(otherPlatform),
	"process.env":                      honoured,
	"process.cwd":                      honoured,
	"process.capabilities":             honoured,
	"process.capabilities.bounding":    honoured,
	"process.capabilities.effective":   honoured,
	"process.capabilities.inheritable": honoured,
	"process.capabilities.permitted":   honoured,
	"process.capabilities.ambient":     honoured,
	"process.rlimits":                  honoured,
	"process.rlimits.type":             honoured,
	"process.rlimits.hard":             honoured,
	"process.rlimits.soft":             honoured,
	"process.noNewPrivileges":          honoured,
	"process.apparmorProfile":          refuse(noModule),
	"process.selinuxLabel":             refuse(noModule),
	"process.oomScoreAdj":              honoured,
	"process.scheduler":                refuse("the payload has the scheduling policy of the caller"),
	"process.ioPriority":               refuse("the payload has the I/O priority of the caller"),
	"process.execCPUAffinity":          refuse("a further process may use the CPUs that the caller may use"),

	"root":          honoured,
	"root.path":     ignore("Config.RootKind says what the root is"),
	"root.readonly": honoured,

	"mounts":             honoured,
	"mounts.destination": honoured,
	"mounts.type":        honoured,
	"mounts.source":      honoured,
	"mounts.options":     honoured,
	"mounts.uidMappings": refuse("the runtime maps no ids of a mount"),
	"mounts.gidMappings": refuse("the runtime maps no ids of a mount"),

	"linux":                         honoured,
	"linux.uidMappings":             ignore("Config.MapIDs writes the map"),
	"linux.gidMappings":             ignore("Config.MapIDs writes the map"),
	"linux.sysctl":                  honoured,
	"linux.resources":               refuse(noCgroup),
	"linux.cgroupsPath":             refuse(noCgroup),
	"linux.namespaces":              honoured,
	"linux.namespaces.type":         honoured,
	"linux.namespaces.path":         honoured,
	"linux.devices":                 honoured,
	"linux.devices.path":            honoured,
	"linux.devices.type":            honoured,
	"linux.devices.major":           honoured,
	"linux.devices.minor":           honoured,
	"linux.devices.fileMode":        refuse(hostNode),
	"linux.devices.uid":             refuse(hostNode),
	"linux.devices.gid":             refuse(hostNode),
	"linux.netDevices":              refuse("a user cannot move network devices of the host"),
	"linux.rootfsPropagation":       honoured,
	"linux.maskedPaths":             honoured,
	"linux.readonlyPaths":           honoured,
	"linux.mountLabel":              refuse(noModule),
	"linux.intelRdt":                refuse("only root of the host may change resctrl"),
	"linux.memoryPolicy":            refuse("the payload has the memory policy of the caller"),
	"linux.personality":             refuse("the payload has the execution domain of the caller"),
	"linux.timeOffsets":             refuse("the runtime makes no time namespaces"),
	"linux.seccomp":                 honoured,
	"linux.seccomp.defaultAction":   honoured,
	"linux.seccomp.defaultErrnoRet": honoured,
	"linux.seccomp.architectures":   honoured,
	"linux.seccomp.flags":           honoured,

	"linux.seccomp.listenerPath":           refuse("nothing listens to filters"),
	"linux.seccomp.listenerMetadata":       refuse("nothing listens to filters"),
	"linux.seccomp.syscalls":               honoured,
	"linux.seccomp.syscalls.names":         honoured,
	"linux.seccomp.syscalls.action":        honoured,
	"linux.seccomp.syscalls.errnoRet":      honoured,
	"linux.seccomp.syscalls.args":          honoured,
	"linux.seccomp.syscalls.args.index":    honoured,
	"linux.seccomp.syscalls.args.value":    honoured,
	"linux.seccomp.syscalls.args.valueTwo": honoured,
	"linux.seccomp.syscalls.args.op":       honoured,
}

// checkFields refuses fields that are set in v and that the runtime would leave out. path is the path of v in the
// specification.
func checkFields(v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.Pointer:
		return checkFields(v.Elem(), path)
	case reflect.Slice:
		for i := range v.Len() {
			if err := checkFields(v.Index(i), path); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := checkField(v.Field(i), fieldPath(path, v.Type().Field(i))); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkField(v reflect.Value, path string) error {
	if !isSet(v) {
		return nil
	}
	treatment, known := specFields[path]
	switch {
	case !known:
		treatment = refuse("the runtime does not know it")
	case treatment.unused != "":
		return nil
	}
	if treatment.refused != "" {
		return fault.Errorf(errdefs.ErrNotImplemented, "%s is not supported: %s", path, treatment.refused)
	}
	return checkFields(v, path)
}

// fieldPath returns the path of a field of what is at parent.
func fieldPath(parent string, field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if parent == "" {
		return name
	}
	return parent + "." + name
}

// isSet tells whether a field asks for anything. An empty list does not, nor does a struct of unset fields, because
// generated specifications contain them. A pointer to a number does, whatever the number.
func isSet(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() > 0
	case reflect.Pointer:
		return !v.IsNil() && (v.Elem().Kind() != reflect.Struct || isSet(v.Elem()))
	case reflect.Struct:
		for i := range v.NumField() {
			if isSet(v.Field(i)) {
				return true
			}
		}
		return false
	}
	return !v.IsZero()
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
	return checkFields(reflect.ValueOf(process), "process")
}
