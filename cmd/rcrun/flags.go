package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
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
	interactive, tty, detach, rm, readOnly, init, privileged, quiet, noHealthcheck, publishAll bool

	name, workdir, user, hostname, domainname, entrypoint, network, userns string
	rootfs, cidfile, stopSignal, shmSize, platform, pull                   string

	attach, env, envFiles, volumes, tmpfs, publish, expose, labels, labelFiles, annotations []string

	capAdd, capDrop, securityOpt, storageOpt, dns, dnsSearch, dnsOption, addHost []string

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
	flags.BoolVar(&f.privileged, "privileged", false,
		"give the container all capabilities in its user namespace, and no seccomp filter")
	flags.BoolVarP(&f.publishAll, "publish-all", "P", false, "publish all exposed ports on free ones")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress when the image is pulled")
	flags.StringVar(&f.name, "name", "", "name of the container")
	flags.StringVarP(&f.workdir, "workdir", "w", "", "working directory in the container")
	flags.StringVarP(&f.user, "user", "u", "", "user of the command: name or uid[:group or gid]")
	flags.StringVarP(&f.hostname, "hostname", "h", "", "host name of the container")
	flags.StringVar(&f.domainname, "domainname", "", "domain name of the container")
	flags.StringVar(&f.entrypoint, "entrypoint", "",
		`replace the image's entrypoint; "" clears it, a JSON array has arguments`)
	flags.StringVar(&f.network, "network", "default",
		"network: none, host, slirp4netns or default (slirp4netns where installed)")
	flags.StringVar(&f.network, "net", "default", "same as --network")
	flags.Lookup("net").Hidden = true
	flags.StringVar(&f.userns, "userns", "",
		"user namespace: host (container root is you), keep-id (you keep your id) or nomap (you are not in it)")
	flags.StringVar(&f.rootfs, "rootfs", "",
		"use a directory as root filesystem instead of an image; DIR:O keeps changes apart from it")
	flags.StringVar(&f.cidfile, "cidfile", "", "write the container's id to a file")
	flags.StringVar(&f.stopSignal, "stop-signal", "", "signal that stop sends (default SIGTERM)")
	flags.IntVar(&f.stopTimeout, "stop-timeout", 10, "seconds that stop waits before it kills")
	flags.StringVar(&f.shmSize, "shm-size", "", "size of /dev/shm (default 64m)")
	flags.StringVar(&f.platform, "platform", "",
		"platform of the image: os/arch[/variant]; an image of another platform is pulled but does not run")
	flags.StringVar(&f.pull, "pull", "missing", "pull the image: missing, always or never")
	f.registerLists(flags)
	f.resources.register(flags)
	flags.BoolVar(&f.noHealthcheck, "no-healthcheck", false,
		"do not warn of the image's health check, which is not run")
	registerFixed(flags)
	flags.Bool("help", false, "show this help") // without its shorthand, which is the host name's
}

// registerLists registers the flags that may be given several times.
func (f *containerFlags) registerLists(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.attach, "attach", "a", nil, "attach only some streams: stdin (with -i), stdout, stderr")
	flags.StringArrayVarP(&f.env, "env", "e", nil,
		"set an environment variable; a name alone takes the value from here")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "read environment variables from a file")
	flags.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount a host path: /host/path:/container/path[:ro]")
	flags.StringArrayVar(&f.tmpfs, "tmpfs", nil, "mount a tmpfs: /path[:size=16m,mode=1777]")
	flags.StringArrayVarP(&f.publish, "publish", "p", nil, "publish a port: [ip:][hostPort:]containerPort[/udp]")
	flags.StringArrayVarP(&f.labels, "label", "l", nil, "label the container: key=value")
	flags.StringArrayVar(&f.annotations, "annotation", nil, "annotate the container's OCI specification: key=value")
	flags.StringArrayVar(&f.labelFiles, "label-file", nil, "read labels from a file")
	flags.StringArrayVar(&f.expose, "expose", nil, "record that the container serves a port or a range of ports")
	flags.Var((*commaList)(&f.capAdd), "cap-add", "add a capability")
	flags.Var((*commaList)(&f.capDrop), "cap-drop", "drop a capability, or all")
	flags.StringArrayVar(&f.securityOpt, "security-opt", nil,
		"no-new-privileges, seccomp=unconfined, seccomp=builtin or seccomp=PROFILE.json")
	flags.Var((*commaList)(&f.storageOpt), "storage-opt",
		"limits of what the container adds to its image: size=64m, inodes=10000")
	flags.Var((*commaList)(&f.dns), "dns", "name server of the container")
	flags.StringArrayVar(&f.dnsSearch, "dns-search", nil,
		"domain to look names up in; . for none (default: the host's)")
	flags.StringArrayVar(&f.dnsOption, "dns-option", nil, "option of resolv.conf (default: the host's)")
	flags.StringArrayVar(&f.addHost, "add-host", nil, "add a line to /etc/hosts: name:ip")
}

// needsImage checks that there is something to run in.
func (f *containerFlags) needsImage(cmd *cobra.Command, args []string) error {
	if rootfs, _ := strings.CutSuffix(f.rootfs, ":O"); len(args) > 0 || rootfs != "" {
		return nil
	}
	text := fmt.Sprintf("'%s' requires an image, or --rootfs DIR[:O]", cmd.CommandPath())
	return &usageError{cmd: cmd, text: text, line: true}
}

// commaList is a flag that may be given several times, each time with several values. Unlike pflag's, which reads CSV,
// it leaves none out: not the empty one, and not what follows a line end.
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
func (f *containerFlags) options(args []string) (o engine.CreateOptions, err error) {
	o.Name = f.name
	if o.HostConfig, err = f.hostConfig(); err != nil {
		return o, err
	}
	image := ""
	if o.HostConfig.Rootfs == "" {
		image, args = args[0], args[1:]
	}
	o.Config, err = f.config(image, args)
	return o, err
}

// config is what of the flags describes the container.
func (f *containerFlags) config(image string, command []string) (c engine.Config, err error) {
	c = engine.Config{Image: image, Cmd: command, Hostname: f.hostname, Domainname: f.domainname, User: f.user,
		WorkingDir: f.workdir, StopSignal: f.stopSignal}
	if err := f.setStreams(&c); err != nil {
		return c, err
	}
	if c.Env, err = environment(f.envFiles, f.env); err != nil {
		return c, err
	}
	if c.Entrypoint, err = f.parseEntrypoint(); err != nil {
		return c, err
	}
	if c.Labels, err = f.allLabels(); err != nil {
		return c, err
	}
	if c.ExposedPorts, err = exposedPorts(f.expose); err != nil {
		return c, err
	}
	if f.noHealthcheck {
		c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	}
	if f.flags.Changed("stop-timeout") {
		c.StopTimeout = &f.stopTimeout
	}
	if c.StopSignal != "" {
		_, err = engine.ParseSignal(c.StopSignal)
	}
	return c, err
}

// hostConfig is what of the flags is about this host.
func (f *containerFlags) hostConfig() (engine.HostConfig, error) {
	rootfs, isOverlay := strings.CutSuffix(f.rootfs, ":O")
	h := engine.HostConfig{HostConfig: container.HostConfig{
		Resources:     f.resources.resources(),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{}},
		Annotations:   keyValues(f.annotations), PublishAllPorts: f.publishAll,
		ContainerIDFile: f.cidfile, NetworkMode: container.NetworkMode(f.network), AutoRemove: f.rm, CapAdd: f.capAdd,
		CapDrop: f.capDrop, DNSSearch: f.dnsSearch, DNSOptions: f.dnsOption, ExtraHosts: f.addHost,
		Privileged: f.privileged, ReadonlyRootfs: f.readOnly, SecurityOpt: f.securityOpt, Tmpfs: tmpfsOptions(f.tmpfs),
		UsernsMode: container.UsernsMode(f.userns), Init: &f.init,
	}, KernelMemory: f.resources.kernelMemory, Rootfs: rootfs, RootfsOverlay: isOverlay}
	var err error
	if h.DNS, err = nameServers(f.dns); err != nil {
		return h, err
	}
	if h.PortBindings, err = engine.ParsePublish(f.publish); err != nil {
		return h, err
	}
	if h.ShmSize, err = f.parseShmSize(); err != nil {
		return h, err
	}
	if h.Binds, err = absoluteSources(f.volumes); err != nil {
		return h, err
	}
	h.StorageOpt, err = parseStorageOpt(f.storageOpt)
	return h, err
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
