package engine

import (
	"encoding/json"
	"slices"
)

// Config is what a container is, independent of the host: Docker's object of the same name, field for field.
type Config struct {
	Hostname     string              `json:"Hostname"`
	Domainname   string              `json:"Domainname"`
	User         string              `json:"User"`
	AttachStdin  bool                `json:"AttachStdin"`
	AttachStdout bool                `json:"AttachStdout"`
	AttachStderr bool                `json:"AttachStderr"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Tty          bool                `json:"Tty"`
	OpenStdin    bool                `json:"OpenStdin"`
	StdinOnce    bool                `json:"StdinOnce"`
	Env          []string            `json:"Env"`
	Cmd          []string            `json:"Cmd"`
	Image        string              `json:"Image"`
	Volumes      map[string]struct{} `json:"Volumes"`
	WorkingDir   string              `json:"WorkingDir"`
	Entrypoint   []string            `json:"Entrypoint"` // nil: the image's; empty: none
	Labels       map[string]string   `json:"Labels"`
	Healthcheck  json.RawMessage     `json:"Healthcheck,omitempty"` // the image's, in Docker's form; not carried out
	StopSignal   string              `json:"StopSignal,omitempty"`
	StopTimeout  *int                `json:"StopTimeout,omitempty"` // seconds
}

// HostConfig is what a container needs of this host: Docker's object of the same name, as far as rcrun honours it.
type HostConfig struct {
	Resources
	Binds           []string                 `json:"Binds"`
	ContainerIDFile string                   `json:"ContainerIDFile"`
	NetworkMode     string                   `json:"NetworkMode"`
	PortBindings    map[string][]PortBinding `json:"PortBindings"`
	PublishAllPorts bool                     `json:"PublishAllPorts"`       // that are exposed
	Annotations     map[string]string        `json:"Annotations,omitempty"` // of the OCI specification
	AutoRemove      bool                     `json:"AutoRemove"`
	CapAdd          []string                 `json:"CapAdd"`
	CapDrop         []string                 `json:"CapDrop"`
	DNS             []string                 `json:"Dns"`
	DNSOptions      []string                 `json:"DnsOptions"`
	DNSSearch       []string                 `json:"DnsSearch"`
	ExtraHosts      []string                 `json:"ExtraHosts"`
	Privileged      bool                     `json:"Privileged"`
	ReadonlyRootfs  bool                     `json:"ReadonlyRootfs"`
	SecurityOpt     []string                 `json:"SecurityOpt"`
	Tmpfs           map[string]string        `json:"Tmpfs,omitempty"`
	StorageOpt      map[string]string        `json:"StorageOpt,omitempty"` // as layers.ParseQuota reads it
	UsernsMode      string                   `json:"UsernsMode"`
	ShmSize         int64                    `json:"ShmSize"` // bytes
	Init            bool                     `json:"Init"`
	RestartPolicy   RestartPolicy            `json:"RestartPolicy"`
	LogConfig       LogConfig                `json:"LogConfig"`
	Rootfs          string                   `json:"Rootfs,omitempty"`        // --rootfs: a directory instead of an image
	RootfsOverlay   bool                     `json:"RootfsOverlay,omitempty"` // ":O": the directory is only the lower layer
}

// RestartPolicy is when a container is started again: never, whose name is "no".
type RestartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// LogConfig is how the output of a container is kept: in one way, which is Docker's json-file.
type LogConfig struct {
	Type   string
	Config map[string]string
}

// PortBinding is where on the host a container's port is published.
type PortBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string `json:"HostPort"`
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

func union(a, b map[string]struct{}) map[string]struct{} {
	if len(a)+len(b) == 0 {
		return nil
	}
	joined := map[string]struct{}{}
	for _, set := range []map[string]struct{}{a, b} {
		for key := range set {
			joined[key] = struct{}{}
		}
	}
	return joined
}
