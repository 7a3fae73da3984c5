package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// override sets dir to the absolute form of a flag's value, if there is one.
func override(dir *string, flag string) error {
	if flag == "" {
		return nil
	}
	abs, err := filepath.Abs(flag)
	if err != nil {
		return fmt.Errorf("find directory %s: %w", flag, err)
	}
	*dir = abs
	return nil
}

// containerFlags are the flags of run and create.
type containerFlags struct {
	interactive, tty, detach, rm, readOnly, init, privileged, quiet, noHealthcheck bool

	name, workdir, user, hostname, domainname, entrypoint, network, userns string
	rootfs, cidfile, stopSignal, shmSize, platform, pull                   string

	attach, env, envFiles, volumes, tmpfs, publish, expose, labels, labelFiles, capAdd, capDrop, securityOpt, storageOpt, dns, addHost []string

	stopTimeout int
	resources   resourceFlags
	flags       *pflag.FlagSet
	global      *dockerGlobals
}

func (f *containerFlags) register(flags *pflag.FlagSet) {
	f.flags = flags
	flags.SetInterspersed(false) // what follows the image is the container's
	flags.BoolVarP(&f.interactive, "interactive", "i", false, "keep standard input open")
	flags.BoolVarP(&f.tty, "tty", "t", false, "give the container a terminal")
	flags.BoolVar(&f.rm, "rm", false, "remove the container when it ends")
	flags.BoolVar(&f.readOnly, "read-only", false, "make the root filesystem read-only")
	flags.BoolVar(&f.init, "init", false, "run an init as process 1 that forwards signals and reaps processes")
	flags.BoolVar(&f.privileged, "privileged", false, "give the container all capabilities in its user namespace, and no seccomp filter")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress when the image is pulled")
	flags.StringVar(&f.name, "name", "", "name of the container")
	flags.StringVarP(&f.workdir, "workdir", "w", "", "working directory in the container")
	flags.StringVarP(&f.user, "user", "u", "", "user of the command: name or uid[:group or gid]")
	flags.StringVarP(&f.hostname, "hostname", "h", "", "host name of the container")
	flags.StringVar(&f.domainname, "domainname", "", "domain name of the container")
	flags.StringVar(&f.entrypoint, "entrypoint", "", `replace the image's entrypoint; "" clears it, a JSON array has arguments`)
	flags.StringVar(&f.network, "network", "default", "network: none, host, slirp4netns or default (slirp4netns where installed)")
	flags.StringVar(&f.network, "net", "default", "same as --network")
	flags.Lookup("net").Hidden = true
	flags.StringVar(&f.userns, "userns", "", "user namespace: host (container root is you), keep-id (you keep your id) or nomap (you are not in it)")
	flags.StringVar(&f.rootfs, "rootfs", "", "use a directory as root filesystem instead of an image; DIR:O keeps changes apart from it")
	flags.StringVar(&f.cidfile, "cidfile", "", "write the container's id to a file")
	flags.StringVar(&f.stopSignal, "stop-signal", "", "signal that stop sends (default SIGTERM)")
	flags.IntVar(&f.stopTimeout, "stop-timeout", 10, "seconds that stop waits before it kills")
	flags.StringVar(&f.shmSize, "shm-size", "", "size of /dev/shm (default 64m)")
	flags.StringVar(&f.platform, "platform", "", "platform of the image: os/arch[/variant]; one of another platform is not run, but pulled")
	flags.StringVar(&f.pull, "pull", "missing", "pull the image: missing, always or never")
	flags.StringArrayVarP(&f.attach, "attach", "a", nil, "attach only some streams: stdin (with -i), stdout, stderr")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set an environment variable; a name alone takes the value from here")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "read environment variables from a file")
	flags.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount a host path: /host/path:/container/path[:ro]")
	flags.StringArrayVar(&f.tmpfs, "tmpfs", nil, "mount a tmpfs: /path[:size=16m,mode=1777]")
	flags.StringArrayVarP(&f.publish, "publish", "p", nil, "publish a port: [ip:][hostPort:]containerPort[/udp]")
	flags.StringArrayVarP(&f.labels, "label", "l", nil, "label the container: key=value")
	flags.StringArrayVar(&f.labelFiles, "label-file", nil, "read labels from a file")
	flags.StringArrayVar(&f.expose, "expose", nil, "note that the container serves a port, or a range of ports")
	flags.Var((*commaList)(&f.capAdd), "cap-add", "add a capability")
	flags.Var((*commaList)(&f.capDrop), "cap-drop", "drop a capability, or all")
	flags.StringArrayVar(&f.securityOpt, "security-opt", nil, "no-new-privileges, seccomp=unconfined, seccomp=builtin or seccomp=PROFILE.json")
	flags.Var((*commaList)(&f.storageOpt), "storage-opt", "limit what the container adds to its image: size=64m, inodes=10000")
	flags.Var((*commaList)(&f.dns), "dns", "name server of the container")
	flags.StringArrayVar(&f.addHost, "add-host", nil, "add a line to /etc/hosts: name:ip")
	f.resources.register(flags)
	flags.BoolVar(&f.noHealthcheck, "no-healthcheck", false, "do not warn of the image's health check, which is not run")
	registerFixed(flags)
	flags.Bool("help", false, "show this help") // without its shorthand, which is the host name's
}

// needsImage checks that there is something to run in.
func (f *containerFlags) needsImage(cmd *cobra.Command, args []string) error {
	if len(args) > 0 || f.rootfs != "" {
		return nil
	}
	return &usageError{cmd: cmd, text: fmt.Sprintf("'%s' requires an image, or --rootfs DIR[:O]", cmd.CommandPath()), line: true}
}

// commaList is a flag that may be given several times, each time with several values. Unlike pflag's, which reads CSV, it
// leaves none out: not the empty one, and not what follows a line end.
type commaList []string

// Set adds what the user writes.
func (l *commaList) Set(text string) error {
	*l = append(*l, strings.Split(text, ",")...)
	return nil
}

// String returns the values as they can be written.
func (l *commaList) String() string { return strings.Join(*l, ",") }

// Type names the argument in help texts.
func (*commaList) Type() string { return "strings" }

// options translates the flags and arguments into what the engine is asked for.
func (f *containerFlags) options(args []string) (engine.CreateOptions, error) {
	o := engine.CreateOptions{Name: f.name}
	rootfs, isOverlay := strings.CutSuffix(f.rootfs, ":O")
	if rootfs == "" {
		o.Config.Image, args = args[0], args[1:]
	}
	env, err := environment(f.envFiles, f.env)
	if err != nil {
		return o, err
	}
	ports, err := engine.ParsePublish(f.publish)
	if err != nil {
		return o, err
	}
	entrypoint, err := f.parseEntrypoint()
	if err != nil {
		return o, err
	}
	shm, err := f.parseShmSize()
	if err != nil {
		return o, err
	}
	c := &o.Config
	c.Hostname, c.Domainname, c.User, c.WorkingDir, c.StopSignal = f.hostname, f.domainname, f.user, f.workdir, f.stopSignal
	if err := f.setStreams(c); err != nil {
		return o, err
	}
	c.Env, c.Cmd, c.Entrypoint = env, args, entrypoint
	if f.noHealthcheck {
		c.Healthcheck = json.RawMessage(`{"Test":["NONE"]}`)
	}
	if c.Labels, err = f.allLabels(); err != nil {
		return o, err
	}
	if c.ExposedPorts, err = exposedPorts(f.expose); err != nil {
		return o, err
	}
	if f.flags.Changed("stop-timeout") {
		c.StopTimeout = &f.stopTimeout
	}
	if c.StopSignal != "" {
		if _, err := engine.ParseSignal(c.StopSignal); err != nil {
			return o, err
		}
	}
	volumes, err := absoluteSources(f.volumes)
	if err != nil {
		return o, err
	}
	storageOpt, err := parseStorageOpt(f.storageOpt)
	if err != nil {
		return o, err
	}
	o.HostConfig = engine.HostConfig{
		Resources: f.resources.resources(), RestartPolicy: engine.RestartPolicy{Name: "no"},
		LogConfig: engine.LogConfig{Type: "json-file", Config: map[string]string{}},
		Binds:     volumes, ContainerIDFile: f.cidfile, NetworkMode: f.network, PortBindings: ports, AutoRemove: f.rm,
		CapAdd: f.capAdd, CapDrop: f.capDrop, DNS: f.dns, ExtraHosts: f.addHost, Privileged: f.privileged, ReadonlyRootfs: f.readOnly,
		SecurityOpt: f.securityOpt, Tmpfs: tmpfsOptions(f.tmpfs), UsernsMode: f.userns, ShmSize: shm, Init: f.init,
		Rootfs: rootfs, RootfsOverlay: isOverlay, StorageOpt: storageOpt,
	}
	return o, nil
}

// setStreams says which streams are attached: those of --attach, or else all, but in the background none.
func (f *containerFlags) setStreams(c *engine.Config) error {
	if f.detach && len(f.attach) > 0 {
		return errors.New("conflicting options: --attach and --detach cannot both be given")
	}
	attached := map[string]bool{}
	for _, name := range f.attach {
		name = strings.ToLower(name)
		if name != "stdin" && name != "stdout" && name != "stderr" {
			return fmt.Errorf("invalid --attach %q: want stdin, stdout or stderr", name)
		}
		attached[name] = true
	}
	all := !f.detach && len(f.attach) == 0
	c.Tty, c.OpenStdin = f.tty, f.interactive
	c.AttachStdin = f.interactive && (all || attached["stdin"])
	c.AttachStdout, c.AttachStderr = all || attached["stdout"], !f.tty && (all || attached["stderr"])
	c.StdinOnce = c.AttachStdin
	return nil
}

// allLabels joins files and flags, in this order; of a label given twice the last value holds.
func (f *containerFlags) allLabels() (map[string]string, error) {
	var lines []string
	for _, path := range f.labelFiles {
		read, err := readLines("label file", path)
		if err != nil {
			return nil, err
		}
		lines = append(lines, read...)
	}
	return keyValues(append(lines, f.labels...)), nil
}

// exposedPorts reads ports such as 80, 8000-8010 or 53/udp.
func exposedPorts(flags []string) (map[string]struct{}, error) {
	ports := map[string]struct{}{}
	for _, flag := range flags {
		if strings.Contains(flag, ":") {
			return nil, fmt.Errorf("invalid --expose %q: want a port of the container; -p publishes ports", flag)
		}
		list, err := appendPorts(nil, flag)
		if err != nil {
			return nil, fmt.Errorf("invalid --expose %q: %w", flag, err)
		}
		for _, port := range list {
			ports[port] = struct{}{}
		}
	}
	return ports, nil
}

// parseEntrypoint returns nil where the flag was not given, and one empty string where it is empty.
func (f *containerFlags) parseEntrypoint() ([]string, error) {
	switch {
	case !f.flags.Changed("entrypoint"):
		return nil, nil
	case f.entrypoint == "":
		return []string{""}, nil
	case strings.HasPrefix(f.entrypoint, "["):
		var list []string
		if err := json.Unmarshal([]byte(f.entrypoint), &list); err != nil {
			return nil, fmt.Errorf("read --entrypoint as a JSON array: %w", err)
		}
		return list, nil
	}
	return []string{f.entrypoint}, nil
}

func (f *containerFlags) parseShmSize() (int64, error) {
	if f.shmSize == "" {
		return 0, nil
	}
	size, err := units.RAMInBytes(f.shmSize)
	if err != nil || size <= 0 {
		return 0, fmt.Errorf("invalid --shm-size %q: want a size such as 64m", f.shmSize)
	}
	return size, nil
}

// parseStorageOpt refuses what is no limit before an image is pulled.
func parseStorageOpt(flags []string) (map[string]string, error) {
	if len(flags) == 0 {
		return nil, nil
	}
	options := keyValues(flags)
	_, err := layerfmt.ParseQuota(options)
	return options, err
}

// environment joins files and flags, in this order; of a name given twice the last value holds.
func environment(files, flags []string) ([]string, error) {
	var lines []string
	for _, path := range files {
		read, err := readLines("environment file", path)
		if err != nil {
			return nil, err
		}
		lines = append(lines, read...)
	}
	return resolveEnv(append(lines, flags...))
}

// resolveEnv gives names without a value the value they have here, and drops those that have none.
func resolveEnv(variables []string) ([]string, error) {
	var env []string
	position := map[string]int{}
	for _, variable := range variables {
		name, _, hasValue := strings.Cut(variable, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid environment variable %q", variable)
		}
		if !hasValue {
			value, known := os.LookupEnv(name)
			if !known {
				continue
			}
			variable = name + "=" + value
			if !utf8.ValidString(value) {
				return nil, notText("environment variable", variable)
			}
		}
		if at, twice := position[name]; twice {
			env[at] = variable
			continue
		}
		position[name] = len(env)
		env = append(env, variable)
	}
	return env, nil
}

// readLines reads lines NAME=VALUE or NAME of a kind of file; empty lines and those that start with # are left out.
func readLines(kind, path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		line := strings.TrimLeft(scanner.Text(), " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !utf8.ValidString(line) {
			return nil, fmt.Errorf("read %s %s: %w", kind, path, notText("line", line))
		}
		if name, _, _ := strings.Cut(line, "="); strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("read %s %s: name %q contains white space", kind, path, name)
		}
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, path, err)
	}
	return lines, nil
}

// absoluteSources completes host paths that start with a dot.
func absoluteSources(volumes []string) ([]string, error) {
	all := slices.Clone(volumes)
	for i, volume := range all {
		source, rest, _ := strings.Cut(volume, ":")
		if source != "." && source != ".." && !strings.HasPrefix(source, "./") && !strings.HasPrefix(source, "../") {
			continue
		}
		abs, err := filepath.Abs(source)
		if err != nil {
			return nil, fmt.Errorf("find the source of volume %s: %w", volume, err)
		}
		if !utf8.ValidString(abs) {
			return nil, notText("directory", abs)
		}
		all[i] = abs + ":" + rest
	}
	return all, nil
}

func keyValues(flags []string) map[string]string {
	values := map[string]string{}
	for _, flag := range flags {
		key, value, _ := strings.Cut(flag, "=")
		values[key] = value
	}
	return values
}

// tmpfsOptions splits /path[:options].
func tmpfsOptions(flags []string) map[string]string {
	if len(flags) == 0 {
		return nil
	}
	mounts := map[string]string{}
	for _, flag := range flags {
		path, options, _ := strings.Cut(flag, ":")
		mounts[path] = options
	}
	return mounts
}
