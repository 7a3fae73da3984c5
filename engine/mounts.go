package engine

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/runtime"
)

// bind is a mount of the host's: a directory or file of the host's at a path of the container's.
type bind struct {
	source, target string
	options        []string // of the mount: "rbind" or "bind", a propagation, "ro" or "rw"
	create         bool     // whether a source that does not exist becomes a directory
}

// parseBind reads "source:target[:options]". Options are separated by commas. z and Z are for SELinux, cached and
// the like for hosts that run containers in a virtual machine: they change nothing here.
func parseBind(text string) (bind, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return bind{}, fmt.Errorf("invalid volume specification %q: want /host/path:/container/path[:ro|rw]", text)
	}
	b := bind{source: parts[0], target: path.Clean(parts[1]), options: []string{"rbind"}, create: true}
	if !filepath.IsAbs(b.source) {
		return bind{}, fmt.Errorf("invalid volume specification %q: the host path must be absolute", text)
	}
	if !path.IsAbs(b.target) || b.target == "/" {
		return bind{}, fmt.Errorf("invalid volume specification %q: "+
			"the destination must be an absolute path other than /", text)
	}
	access, propagation := "rw", "rprivate"
	if len(parts) == 3 {
		for _, option := range strings.Split(parts[2], ",") {
			switch option {
			case "ro", "rw":
				access = option
			case "private", "rprivate", "slave", "rslave", "shared", "rshared":
				propagation = option
			case "z", "Z", "cached", "delegated", "consistent":
			case "nocopy":
				return bind{}, fmt.Errorf("invalid volume specification %q: nocopy is for named volumes, "+
					"of which there are none", text)
			default:
				return bind{}, fmt.Errorf("invalid volume specification %q: unknown option %q", text, option)
			}
		}
	}
	b.options = append(b.options, propagation, access)
	return b, nil
}

// memory is a tmpfs at a path of the container's.
type memory struct {
	target  string
	options []string // of the filesystem
}

// binds are the directories and files of the host's that are mounted: those of Binds and of Mounts.
func (h *HostConfig) binds() ([]bind, error) {
	var all []bind
	for _, text := range h.Binds {
		b, err := parseBind(text)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	for _, m := range h.Mounts {
		if m.Type != mount.TypeBind {
			continue
		}
		b, err := bindOf(m)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// hasBinds tells whether something of the host's is mounted.
func (h *HostConfig) hasBinds() bool {
	isBind := func(m mount.Mount) bool { return m.Type == mount.TypeBind }
	return len(h.Binds) > 0 || slices.ContainsFunc(h.Mounts, isBind)
}

// bindOf reads a mount of the type bind, whose source must exist unless it says otherwise.
func bindOf(m mount.Mount) (bind, error) {
	options := mount.BindOptions{}
	if m.BindOptions != nil {
		options = *m.BindOptions
	}
	b := bind{source: m.Source, target: path.Clean(m.Target), create: options.CreateMountpoint,
		options: []string{"rbind", string(mount.PropagationRPrivate), "rw"}}
	if options.NonRecursive {
		b.options[0] = "bind"
	}
	if options.Propagation != "" {
		b.options[1] = string(options.Propagation)
	}
	if m.ReadOnly {
		b.options[2] = "ro"
	}
	switch {
	case !filepath.IsAbs(b.source):
		return bind{}, invalidf("invalid mount of %q: the source must be an absolute path", m.Source)
	case !path.IsAbs(m.Target) || b.target == "/":
		return bind{}, invalidf("invalid mount of %q: the target %q must be an absolute path other than /", m.Source,
			m.Target)
	case !slices.Contains(mount.Propagations, mount.Propagation(b.options[1])):
		return bind{}, invalidf("invalid mount of %q: unknown propagation %q", m.Source, b.options[1])
	}
	return b, nil
}

// tmpfs are the filesystems in memory: those of Tmpfs and of Mounts.
func (h *HostConfig) tmpfs() ([]memory, error) {
	var all []memory
	for target, options := range h.Tmpfs {
		m := memory{target: target}
		if options != "" {
			m.options = strings.Split(options, ",")
		}
		all = append(all, m)
	}
	for _, m := range h.Mounts {
		switch m.Type {
		case mount.TypeTmpfs:
			if m.Source != "" {
				return nil, invalidf("invalid mount at %s: a tmpfs has no source", m.Target)
			}
			all = append(all, memory{target: m.Target, options: tmpfsOptions(m)})
		case mount.TypeBind:
		default:
			return nil, invalidf("invalid mount at %s: unknown type %q", m.Target, m.Type)
		}
	}
	return all, nil
}

// tmpfsOptions are the options of a mount of the type tmpfs.
func tmpfsOptions(m mount.Mount) []string {
	var options []string
	if m.ReadOnly {
		options = append(options, "ro")
	}
	if m.TmpfsOptions == nil {
		return options
	}
	if size := m.TmpfsOptions.SizeBytes; size > 0 {
		options = append(options, fmt.Sprintf("size=%d", size))
	}
	if mode := m.TmpfsOptions.Mode; mode != 0 {
		options = append(options, fmt.Sprintf("mode=%o", modeBits(mode)))
	}
	for _, pair := range m.TmpfsOptions.Options {
		options = append(options, strings.Join(pair, "="))
	}
	return options
}

// modeBits are a mode as chmod(2) has it. A client may have set the bits as they are there, or as Go has them.
func modeBits(mode os.FileMode) uint32 {
	bits := uint32(mode) & 0o7777
	if mode&os.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}

// validateMounts checks -v and --tmpfs, and that no two of them share a destination.
func validateMounts(host *HostConfig) error {
	seen := map[string]bool{}
	claim := func(target string) error {
		if seen[target] {
			return fmt.Errorf("duplicate mount point '%s'", target)
		}
		seen[target] = true
		return nil
	}
	binds, err := host.binds()
	if err != nil {
		return err
	}
	for _, b := range binds {
		if _, err := os.Lstat(b.source); err != nil && !b.create {
			return invalidf("invalid mount at %s: the source does not exist: %w", b.target, err)
		}
		if err := claim(b.target); err != nil {
			return err
		}
	}
	memory, err := host.tmpfs()
	if err != nil {
		return err
	}
	for _, m := range memory {
		if !path.IsAbs(m.target) || path.Clean(m.target) == "/" {
			return invalidf("invalid tmpfs destination %q: it must be an absolute path other than /", m.target)
		}
		if err := claim(path.Clean(m.target)); err != nil {
			return err
		}
	}
	return nil
}

// userMounts returns the mounts that -v and --tmpfs ask for. A source that does not exist becomes a directory, as
// Docker has it.
func (c *Container) userMounts() ([]specs.Mount, error) {
	var mounts []specs.Mount
	binds, err := c.HostConfig.binds()
	if err != nil {
		return nil, err
	}
	for _, b := range binds {
		if err := b.makeSource(); err != nil {
			return nil, err
		}
		mounts = append(mounts, specs.Mount{Type: "bind", Source: b.source, Destination: b.target, Options: b.options})
	}
	memory, err := c.HostConfig.tmpfs()
	if err != nil {
		return nil, err
	}
	for _, m := range memory {
		mounts = append(mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: path.Clean(m.target),
			Options: append([]string{"nosuid", "nodev", "noexec"}, m.options...)})
	}
	return mounts, nil
}

// makeSource makes a source that does not exist where the mount says so.
func (b bind) makeSource() error {
	_, missing := os.Lstat(b.source)
	if missing == nil {
		return nil
	}
	if !b.create {
		return fmt.Errorf("mount %s: %w", b.target, missing)
	}
	if err := os.MkdirAll(b.source, 0o755); err != nil {
		return fmt.Errorf("create the source of the volume %s: %w", b.target, err)
	}
	return nil
}

// The files that rcrun writes for a container and binds over those of the image.
const (
	hostsFile    = "hosts"
	hostnameFile = "hostname"
	resolvFile   = "resolv.conf"
)

// generatedMounts put copies of the generated files in their places. They are the container's own, and writable unless
// its root is read-only: what it changes there lasts until it ends, and is in no layer.
func (c *Container) generatedMounts() []specs.Mount {
	options := []string{"nosuid", "nodev", "noexec"}
	if c.HostConfig.ReadonlyRootfs {
		options = append(options, "ro")
	}
	var mounts []specs.Mount
	for _, name := range []string{hostsFile, hostnameFile, resolvFile} {
		mounts = append(mounts, specs.Mount{Type: runtime.CopyMount, Source: c.path(name), Destination: "/etc/" + name,
			Options: options})
	}
	return mounts
}
