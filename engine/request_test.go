package engine

import (
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine/request"
	"github.com/rcrun/rcrun/internal/fields/fieldtest"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/rootless"
)

// TestFieldsOfRequests fails on a field of Docker's that has no treatment.
func TestFieldsOfRequests(t *testing.T) {
	fieldtest.Run(t, request.Fields, func() any { return &CreateOptions{} })
}

// TestLimitsAreWarnedOf sets each field of which the table says that a warning tells of it.
func TestLimitsAreWarnedOf(t *testing.T) {
	request.Fields.Walk(reflect.TypeFor[CreateOptions](), "", func(path string, index []int) {
		if request.Fields[path].Unused() != request.WarnedOf {
			return
		}
		var options CreateOptions
		fieldtest.Set(reflect.ValueOf(&options).Elem(), index)
		if options.HostConfig.Warning() == "" {
			t.Errorf("%s is ignored without a warning", path)
		}
	})
}

// TestValuesThatChangeNothing takes what clients send although it means what rcrun does anyway.
func TestValuesThatChangeNothing(t *testing.T) {
	options := CreateOptions{HostConfig: HostConfig{HostConfig: container.HostConfig{
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{}}, IpcMode: "private",
		RestartPolicy: container.RestartPolicy{Name: "no"}, CgroupnsMode: "private", Isolation: "default",
		NetworkMode: "none", Resources: container.Resources{Devices: []container.DeviceMapping{}},
	}}, NetworkingConfig: network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{"none": {}}}}
	if err := options.Validate(); err != nil {
		t.Error(err)
	}
}

// TestRefusedRequests names the field or the value, and has a class.
func TestRefusedRequests(t *testing.T) {
	for want, change := range map[string]func(o *CreateOptions){
		`HostConfig.IpcMode "host" is not supported`: func(o *CreateOptions) { o.HostConfig.IpcMode = "host" },
		`HostConfig.Mounts.Type "volume" is not supported`: func(o *CreateOptions) {
			o.HostConfig.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: "v", Target: "/v"}}
		},
		`unknown type ""`: func(o *CreateOptions) { o.HostConfig.Mounts = []mount.Mount{{Target: "/v"}} },
		"duplicate mount point '/v'": func(o *CreateOptions) {
			o.HostConfig.Mounts = []mount.Mount{{Type: mount.TypeTmpfs, Target: "/v"}}
			o.HostConfig.Binds = []string{"/:/v"}
		},
		"the source does not exist": func(o *CreateOptions) {
			o.HostConfig.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: "/does/not/exist", Target: "/v"}}
		},
		"NetworkingConfig.EndpointsConfig.Aliases": func(o *CreateOptions) {
			endpoint := &network.EndpointSettings{Aliases: []string{"db"}}
			o.NetworkingConfig.EndpointsConfig = map[string]*network.EndpointSettings{"default": endpoint}
		},
		"endpoint in the network mine": func(o *CreateOptions) {
			o.NetworkingConfig.EndpointsConfig = map[string]*network.EndpointSettings{"mine": {}}
		},
		"user namespace mode": func(o *CreateOptions) { o.HostConfig.UsernsMode = "odd" },
		"invalid signal":      func(o *CreateOptions) { o.Config.StopSignal = "SIGODD" },
		"invalid sysctl":      func(o *CreateOptions) { o.HostConfig.Sysctls = map[string]string{"a/../../b": "1"} },
		"sctp": func(o *CreateOptions) {
			port, _ := network.PortFrom(80, network.SCTP)
			o.HostConfig.PortBindings = network.PortMap{port: {{HostPort: "80"}}}
		},
		"to have no network": func(o *CreateOptions) {
			o.Config.NetworkDisabled = true
			o.HostConfig.PortBindings = network.PortMap{{}: nil}
		},
	} {
		var options CreateOptions
		change(&options)
		err := options.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if !errdefs.IsNotImplemented(err) && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v has no class", err)
		}
	}
}

// TestSpecOfRequest has the specification say what the request does, where no flag of the command asks for it.
func TestSpecOfRequest(t *testing.T) {
	umask := uint32(0o77)
	c := &Container{dirs: testDirs(t), Config: Config{Cmd: []string{"true"}, NetworkDisabled: true},
		HostConfig: HostConfig{HostConfig: container.HostConfig{Umask: &umask, MaskedPaths: []string{"/masked"},
			ReadonlyPaths: []string{}, Sysctls: map[string]string{"kernel.msgmax": "1"}}}}
	root := idmap.Map{{Container: 0, Host: 1000, Size: 1}}
	ids := rootless.Map{UIDs: root, GIDs: root}
	spec, err := c.spec(ids)
	if err != nil {
		t.Fatal(err)
	}
	if *spec.Process.User.Umask != umask || spec.Linux.Sysctl["kernel.msgmax"] != "1" ||
		!slices.Equal(spec.Linux.MaskedPaths, []string{"/masked"}) || len(spec.Linux.ReadonlyPaths) != 0 {
		t.Errorf("got %+v, %+v", spec.Process.User, spec.Linux)
	}
	c.HostConfig.ConsoleSize = [2]uint{24, 1 << 20}
	if got, want := c.HostConfig.consoleSize(), (WinSize{Rows: 24, Cols: 1<<16 - 1}); got != want {
		t.Errorf("the console's size is %v, want %v", got, want)
	}
	if c.Network() != networkNone {
		t.Errorf("the network is %s", c.Network())
	}
	c.HostConfig.MaskedPaths = nil
	if spec, err = c.spec(ids); err != nil || len(spec.Linux.MaskedPaths) < 2 {
		t.Errorf("without paths of its own it has %q, %v", spec.Linux.MaskedPaths, err)
	}
}

// TestMountsOfRequest has mounts in the specification as the request describes them, beside those of Binds and Tmpfs.
func TestMountsOfRequest(t *testing.T) {
	source := t.TempDir() + "/made"
	c := &Container{HostConfig: HostConfig{HostConfig: container.HostConfig{
		Binds: []string{"/srv:/srv:ro"}, Tmpfs: map[string]string{"/t": "size=1m"},
		Mounts: []mount.Mount{
			{Type: mount.TypeBind, Source: source, Target: "/made", ReadOnly: true, BindOptions: &mount.BindOptions{
				Propagation: mount.PropagationRSlave, NonRecursive: true, CreateMountpoint: true}},
			{Type: mount.TypeTmpfs, Target: "/mem", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 4096,
				Mode: os.ModeSticky | 0o777, Options: [][]string{{"noatime"}, {"uid", "5"}}}},
		}}}}
	mounts, err := c.userMounts()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range mounts {
		got = append(got, m.Type+" "+m.Source+" "+m.Destination+" "+strings.Join(m.Options, ","))
	}
	want := []string{"bind /srv /srv rbind,rprivate,ro", "bind " + source + " /made bind,rslave,ro",
		"tmpfs tmpfs /t nosuid,nodev,noexec,size=1m",
		"tmpfs tmpfs /mem nosuid,nodev,noexec,size=4096,mode=1777,noatime,uid=5"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := os.Stat(source); err != nil {
		t.Error(err)
	}
	shown, err := c.Mounts()
	if err != nil || len(shown) != 2 || shown[1].RW || shown[1].Destination != "/made" ||
		shown[1].Propagation != "rslave" {
		t.Errorf("shown are %+v, %v", shown, err)
	}
	if !c.HostConfig.mountsOn("/mem") || !c.HostConfig.mountsOn("/made") || c.HostConfig.mountsOn("/other") {
		t.Error("what is mounted on is not known")
	}
}

// TestBindingText has what ParsePublish reads come back.
func TestBindingText(t *testing.T) {
	for _, flag := range []string{"80/tcp", "8080:80/tcp", "127.0.0.1:8080:80/udp", "[::1]:8080-8090:80/tcp"} {
		bindings, err := ParsePublish([]string{flag})
		if err != nil {
			t.Fatal(err)
		}
		for port, list := range bindings {
			if got := bindingText(port, list[0]); got != flag {
				t.Errorf("%s comes back as %s", flag, got)
			}
			if addr := list[0].HostIP; addr.IsValid() && addr != netip.MustParseAddr(addr.String()) {
				t.Errorf("%s: the address is %s", flag, addr)
			}
		}
	}
}

// TestExposedPorts reads what an image exposes, and returns apart what is no port.
func TestExposedPorts(t *testing.T) {
	texts := map[string]struct{}{"80": {}, "53/udp": {}, "8000-8001/tcp": {}, "x/tcp": {}, "": {}, "99999/tcp": {}}
	ports, bad := ExposedPorts(texts)
	var got []string
	for port := range ports {
		got = append(got, port.String())
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"53/udp", "80/tcp", "8000/tcp", "8001/tcp"}) ||
		!slices.Equal(bad, []string{"", "99999/tcp", "x/tcp"}) {
		t.Errorf("got %q and %q", got, bad)
	}
}
