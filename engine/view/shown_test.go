package view

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
	"github.com/moby/moby/api/types/system"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/internal/fields"
	"github.com/rcrun/rcrun/internal/fields/fieldtest"
	"github.com/rcrun/rcrun/layers"
)

// The reasons why fields of Docker's answers stay empty.
const (
	noModule    = "these labels need root"
	noSnapshot  = "it is for stores of containerd's"
	noVolumes   = "there are no named volumes"
	noHealth    = "health checks are not run"
	noOptions   = "the network has no options"
	noSwarm     = "there is no swarm"
	noDaemon    = "there is no daemon"
	otherSystem = "it is for Windows"
	noCgroup    = "rcrun makes no cgroups"
)

// asDocker has Docker's client read what is shown: the JSON of shown, into an object of Docker's type.
func asDocker[T any](t *testing.T, shown any) *T {
	t.Helper()
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	into := new(T)
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%T is not read as %T: %v", shown, into, err)
	}
	return into
}

// samples are containers that have everything between them that a container can have.
func samples(t *testing.T) []*engine.Container {
	t.Helper()
	made := time.Unix(1136073600, 0)
	stop, on, low := 3, true, int64(1)
	config := engine.Config{Hostname: "h", Domainname: "d", User: "u", AttachStdin: true, AttachStdout: true,
		AttachStderr: true, ExposedPorts: network.PortSet{port(t, "80/tcp"): {}}, Tty: true, OpenStdin: true,
		StdinOnce: true, Env: []string{"A=1"}, Cmd: []string{"sleep", "1"},
		Healthcheck: &container.HealthConfig{Test: []string{"CMD", "true"}}, Image: "nginx",
		Volumes: map[string]struct{}{"/v": {}}, WorkingDir: "/w", Entrypoint: []string{"env"},
		Labels: map[string]string{"k": "v"}, StopSignal: "TERM", StopTimeout: &stop}
	host := engine.HostConfig{HostConfig: container.HostConfig{Binds: []string{"/srv:/data:rw"},
		Annotations: map[string]string{"a": "b"}, Init: &on, Resources: container.Resources{Memory: 1,
			PidsLimit: &low}}}
	bound := network.PortMap{port(t, "80/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: "8080"}}}
	running := &engine.Container{ID: "aa", Name: "one", Created: made, ImageID: "bb", ImageName: "nginx",
		Config:     config,
		HostConfig: host, State: engine.State{Status: engine.Running, Pid: 7, StartedAt: made, Ports: bound}}
	running.HostConfig.NetworkMode = "slirp4netns"
	paused, restarting, dead, ended := *running, *running, *running, *running
	paused.State.Status, restarting.State.Status, dead.State.Status = engine.Paused, engine.Restarting, engine.Dead
	ended.State = engine.State{Status: engine.Exited, ExitCode: 3, Error: "odd", FinishedAt: made}
	return []*engine.Container{running, &paused, &restarting, &dead, &ended}
}

// endpoint adds the fields of an endpoint at a path. Addresses are shown where the container has a network of its own.
func endpoint(table fields.Table, path string, addresses fields.Treatment) {
	for name, treatment := range map[string]fields.Treatment{
		"IPAMConfig": fields.Ignore(noOptions), "Links": fields.Ignore(noOptions), "Aliases": fields.Ignore(noOptions),
		"DriverOpts": fields.Ignore(noOptions), "GwPriority": fields.Ignore(noOptions),
		"NetworkID": fields.Ignore("networks are not made"), "EndpointID": fields.Ignore("networks are not made"),
		"Gateway": addresses, "IPAddress": addresses, "IPPrefixLen": addresses,
		"MacAddress": fields.Ignore("slirp4netns draws it"), "IPv6Gateway": fields.Ignore("the network has no IPv6"),
		"GlobalIPv6Address":   fields.Ignore("the network has no IPv6"),
		"GlobalIPv6PrefixLen": fields.Ignore("the network has no IPv6"), "DNSNames": fields.Ignore(noOptions),
	} {
		table[path+"."+name] = treatment
	}
}

// mountPoints adds the fields of mounts.
func mountPoints(table fields.Table) {
	table["Mounts"] = fields.Honour()
	for _, name := range []string{"Type", "Source", "Destination", "Mode", "RW", "Propagation"} {
		table["Mounts."+name] = fields.Honour()
	}
	table["Mounts.Name"], table["Mounts.Driver"] = fields.Ignore(noVolumes), fields.Ignore(noVolumes)
}

// honourAll adds fields that are shown.
func honourAll(table fields.Table, paths ...string) fields.Table {
	for _, path := range paths {
		table[path] = fields.Honour()
	}
	return table
}

func TestInspectionHasDockersFields(t *testing.T) {
	table := fields.Table{
		"State.OOMKilled": fields.Ignore(noCgroup),
		"State.Health":    fields.Ignore(noHealth), "GraphDriver.Data": fields.Ignore("it is the store's"),
		"RestartCount": fields.Ignore("containers are not started again"),
		"MountLabel":   fields.Ignore(noModule), "ProcessLabel": fields.Ignore(noModule),
		"AppArmorProfile": fields.Ignore(noModule),
		"ExecIDs":         fields.Ignore("the monitor of a running container tells them"),
		"Storage":         fields.Ignore(noSnapshot), "ImageManifestDescriptor": fields.Ignore(noSnapshot),
		// These are the container's own, whose fields package engine has in a table.
		"Config": fields.Whole(), "HostConfig": fields.Whole(),
		"NetworkSettings.SandboxID":  fields.Ignore("the network namespace has no name"),
		"NetworkSettings.SandboxKey": fields.Ignore("the network namespace has no name"),
	}
	honourAll(table, "Id", "Created", "Path", "Args", "Image", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath",
		"Name", "Driver", "Platform", "GraphDriver", "GraphDriver.Name", "SizeRw", "SizeRootFs", "State",
		"State.Status",
		"State.Running", "State.Paused", "State.Restarting", "State.Dead", "State.Pid", "State.ExitCode",
		"State.Error", "State.StartedAt", "State.FinishedAt",
		"NetworkSettings", "NetworkSettings.Ports", "NetworkSettings.Ports.HostIp", "NetworkSettings.Ports.HostPort",
		"NetworkSettings.Networks")
	endpoint(table, "NetworkSettings.Networks", fields.Honour())
	mountPoints(table)
	var shown []any
	for _, c := range samples(t) {
		i, err := c.Inspect(t.Context(), "fuse")
		if err != nil {
			t.Fatal(err)
		}
		size := int64(1)
		i.SizeRw, i.SizeRootFs = &size, &size // which InspectContainer measures
		shown = append(shown, asDocker[container.InspectResponse](t, i))
	}
	fieldtest.Shown(t, table, shown...)
}

func TestSummaryHasDockersFields(t *testing.T) {
	table := honourAll(fields.Table{
		"ImageManifestDescriptor": fields.Ignore(noSnapshot), "Health": fields.Ignore(noHealth),
	}, "Id", "Names", "Image", "ImageID", "Command", "Created", "Ports", "Ports.IP", "Ports.PrivatePort",
		"Ports.PublicPort", "Ports.Type", "SizeRw", "SizeRootFs", "Labels", "State", "Status", "HostConfig",
		"HostConfig.NetworkMode", "HostConfig.Annotations", "NetworkSettings", "NetworkSettings.Networks")
	endpoint(table, "NetworkSettings.Networks", fields.Honour())
	mountPoints(table)
	var shown []any
	for _, c := range samples(t) {
		one := summary(c, time.Now())
		one.SizeRw, one.SizeRootFs = 1, 1 // which addSizes measures
		shown = append(shown, asDocker[container.Summary](t, one))
	}
	fieldtest.Shown(t, table, shown...)
}

// sampleImage is an image that has everything that an image can have.
func sampleImage() *layers.Image {
	made := time.Unix(1136073600, 0).UTC()
	img := &layers.Image{ID: "aa", RepoTags: []string{"a:1"}, RepoDigests: []string{"a@sha256:1"},
		Created: made, Size: 7,
		Comment: "c", DockerVersion: "19", Digest: "sha256:1"}
	img.Config.Author, img.Config.OS, img.Config.OSVersion = "Jo", "linux", "1"
	img.Config.Architecture, img.Config.Variant = "arm", "v7"
	img.Config.RootFS.DiffIDs = []digest.Digest{"sha256:1"}
	img.Config.Config = v1.ImageConfig{Cmd: []string{"sh"}, Labels: map[string]string{"k": "v"}}
	return img
}

func TestImagesHaveDockersFields(t *testing.T) {
	table := honourAll(fields.Table{
		"ParentId": fields.Ignore("images are not built here"), "Descriptor": fields.Ignore(noSnapshot),
		"Manifests": fields.Ignore(noSnapshot),
	}, "Containers", "Created", "Id", "Labels", "RepoDigests", "RepoTags", "SharedSize", "Size")
	fieldtest.Shown(t, table, asDocker[image.Summary](t, imageSummary(sampleImage())))
	table = honourAll(fields.Table{
		"Config": fields.Whole(), "Metadata": fields.Ignore("the store does not note when an image was named"),
		"Descriptor": fields.Ignore(noSnapshot), "Manifests": fields.Ignore(noSnapshot),
		"Identity": fields.Ignore("signatures are checked when an image comes in, and not kept"),
	}, "Id", "RepoTags", "RepoDigests", "Comment", "Created", "Author", "Architecture", "Variant", "Os", "OsVersion",
		"Size", "RootFS", "RootFS.Type", "RootFS.Layers", "GraphDriver", "GraphDriver.Name", "GraphDriver.Data")
	i := describeImage(sampleImage())
	i.GraphDriver = &storage.DriverData{Name: "fuse", Data: map[string]string{"a": "b"}} // which InspectImage asks for
	fieldtest.Shown(t, table, asDocker[image.InspectResponse](t, i))
}

func TestInfoHasDockersFields(t *testing.T) {
	table := fields.Table{}
	for reason, paths := range map[string][]string{
		"there is no id of an engine": {"ID"}, noSwarm: {"SystemStatus", "Swarm", "GenericResources"},
		"there are no plugins": {"Plugins"},
		noCgroup: {"MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit",
			"OomKillDisable"},
		noDaemon: {"Debug", "NFd", "NGoroutines", "NEventsListener", "HttpProxy", "HttpsProxy", "NoProxy", "Labels",
			"LiveRestoreEnabled", "ExperimentalBuild", "ProductLicense"},
		"containers have networks of their own": {"IPv4Forwarding", "DefaultAddressPools", "FirewallBackend"},
		"registries are configured for all programs (containers-registries.conf)": {"IndexServerAddress",
			"RegistryConfig"},
		"rcrun is its own runtime": {"Runtimes", "DefaultRuntime", "InitBinary", "ContainerdCommit", "RuncCommit",
			"InitCommit", "Containerd", "NRI"},
		otherSystem: {"Isolation"}, "devices are mounted": {"CDISpecDirs", "DiscoveredDevices"},
		"what the host lacks is in Host": {"Warnings"},
	} {
		for _, path := range paths {
			table[path] = fields.Ignore(reason)
		}
	}
	honourAll(table, "Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images", "Driver",
		"DriverStatus",
		"SystemTime", "LoggingDriver", "CgroupDriver", "CgroupVersion", "KernelVersion", "OperatingSystem", "OSVersion",
		"OSType", "Architecture", "NCPU", "MemTotal", "DockerRootDir", "Name", "ServerVersion", "SecurityOptions")
	info := Host("1")
	info.count(samples(t))
	// Describe asks the engine and the store for these, and a host need not tell what it is.
	info.DockerRootDir, info.Driver, info.Images, info.DriverStatus = "/d", "fuse", 1, [][2]string{{"a", "b"}}
	info.OperatingSystem, info.OSVersion = "X", "1"
	fieldtest.Shown(t, table, asDocker[system.Info](t, info))
}
