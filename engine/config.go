package engine

import (
	"maps"
	"math"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Config is what a container is, independent of the host.
type Config = container.Config

// Resources are the limits of a container. Of these only Ulimits hold: the others need a cgroup, which rcrun does not
// make. They are validated and kept.
type Resources = container.Resources

// PortBinding is where on the host a container's port is published.
type PortBinding = network.PortBinding

// HostConfig is what a container needs of this host: Docker's object, and what Docker has no field for.
type HostConfig struct {
	container.HostConfig
	// KernelMemory is a limit in bytes, which Docker had among the Resources until the kernel gave it up.
	KernelMemory int64 `json:",omitempty"`
	// Rootfs is a directory that is the root filesystem, instead of an image.
	Rootfs string `json:",omitempty"`
	// RootfsOverlay has the directory be only the lower layer of the root filesystem.
	RootfsOverlay bool `json:",omitempty"`
}

// wantsInit tells whether process 1 of the container must be an init of rcrun's.
func (h *HostConfig) wantsInit() bool { return h.Init != nil && *h.Init }

// consoleSize is the size that a terminal has until another one is set. A larger one than there can be is cut.
func (h *HostConfig) consoleSize() WinSize {
	rows, cols := h.ConsoleSize[0], h.ConsoleSize[1]
	return WinSize{Rows: uint16(min(rows, math.MaxUint16)), Cols: uint16(min(cols, math.MaxUint16))}
}

// defaultShmSize is the size of /dev/shm, as Docker has it.
const defaultShmSize = 64 << 20

// merge completes a user's configuration with the image's. It is Docker's merge: the user's value wins, lists of
// variables and labels are joined by key, and Cmd and Entrypoint depend on each other. Hostname, Tty and StopTimeout
// are never taken from an image.
func merge(user *Config, image Config) {
	if user.User == "" {
		user.User = image.User
	}
	if user.WorkingDir == "" {
		user.WorkingDir = image.WorkingDir
	}
	if user.StopSignal == "" {
		user.StopSignal = image.StopSignal
	}
	user.ExposedPorts = union(user.ExposedPorts, image.ExposedPorts)
	user.Volumes = union(user.Volumes, image.Volumes)
	if user.Healthcheck == nil {
		user.Healthcheck = image.Healthcheck
	}
	user.Env = mergeEnv(user.Env, image.Env)
	if user.Labels == nil {
		user.Labels = map[string]string{}
	}
	for key, value := range image.Labels {
		if _, given := user.Labels[key]; !given {
			user.Labels[key] = value
		}
	}
	mergeCommand(user, image)
}

// mergeCommand takes the image's Cmd only where the user gave neither, and its Entrypoint only where the user's is
// nil: an empty one that is not nil means that none is wanted.
func mergeCommand(user *Config, image Config) {
	if len(user.Entrypoint) > 0 {
		if len(user.Entrypoint) == 1 && user.Entrypoint[0] == "" {
			user.Entrypoint = []string{} // how a command line says that it wants none, nor the image's Cmd
		}
		return
	}
	if len(user.Cmd) == 0 {
		user.Cmd = slices.Clone(image.Cmd)
	}
	if user.Entrypoint == nil {
		user.Entrypoint = slices.Clone(image.Entrypoint)
	}
}

// mergeEnv appends to the user's variables those of the image whose names the user does not mention.
func mergeEnv(user, image []string) []string {
	merged := slices.Clone(user)
	known := map[string]bool{}
	for _, variable := range user {
		known[envKey(variable)] = true
	}
	for _, variable := range image {
		if !known[envKey(variable)] {
			merged = append(merged, variable)
		}
	}
	return merged
}

func envKey(variable string) string {
	for i := range len(variable) {
		if variable[i] == '=' {
			return variable[:i]
		}
	}
	return variable
}

// union returns the keys of both sets, nil for none.
func union[K comparable](a, b map[K]struct{}) map[K]struct{} {
	if len(a)+len(b) == 0 {
		return nil
	}
	joined := map[K]struct{}{}
	maps.Copy(joined, a)
	maps.Copy(joined, b)
	return joined
}
