package engine

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/runtime"
)

// bind is a -v option: a directory or file of the host's at a path of the container's.
type bind struct {
	source, target string
	options        []string // of the mount: "ro", "rbind", a propagation
}

// parseBind reads "source:target[:options]". Options are separated by commas. z and Z are for SELinux, cached and
// the like for hosts that run containers in a virtual machine: they change nothing here.
func parseBind(text string) (bind, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return bind{}, fmt.Errorf("invalid volume specification %q: want /host/path:/container/path[:ro|rw]", text)
	}
	b := bind{source: parts[0], target: path.Clean(parts[1]), options: []string{"rbind"}}
	if !filepath.IsAbs(b.source) {
		return bind{}, fmt.Errorf("invalid volume specification %q: the host path must be absolute", text)
	}
	if !path.IsAbs(b.target) || b.target == "/" {
		return bind{}, fmt.Errorf("invalid volume specification %q: the destination must be an absolute path other than /", text)
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
	for _, text := range host.Binds {
		b, err := parseBind(text)
		if err != nil {
			return err
		}
		if err := claim(b.target); err != nil {
			return err
		}
	}
	for target := range host.Tmpfs {
		if !path.IsAbs(target) || path.Clean(target) == "/" {
			return fmt.Errorf("invalid tmpfs destination %q: it must be an absolute path other than /", target)
		}
		if err := claim(path.Clean(target)); err != nil {
			return err
		}
	}
	return nil
}

// userMounts returns the mounts that -v and --tmpfs ask for. A source that does not exist becomes a directory, as
// Docker has it.
func (c *Container) userMounts() ([]specs.Mount, error) {
	var mounts []specs.Mount
	for _, text := range c.HostConfig.Binds {
		b, err := parseBind(text)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(b.source, 0o755); err != nil {
			if _, exists := os.Lstat(b.source); exists != nil {
				return nil, fmt.Errorf("create the source of the volume %s: %w", b.target, err)
			}
		}
		mounts = append(mounts, specs.Mount{Type: "bind", Source: b.source, Destination: b.target, Options: b.options})
	}
	for target, options := range c.HostConfig.Tmpfs {
		mount := specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: path.Clean(target), Options: []string{"nosuid", "nodev", "noexec"}}
		if options != "" {
			mount.Options = append(mount.Options, strings.Split(options, ",")...)
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
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
