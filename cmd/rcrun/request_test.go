package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rcrun/rcrun/engine"
	"github.com/spf13/pflag"
)

// requestOf returns what the engine is asked for by the arguments of create.
func requestOf(t *testing.T, args []string) engine.CreateOptions {
	t.Helper()
	flags := containerFlags{global: &dockerGlobals{}}
	set := pflag.NewFlagSet("create", pflag.ContinueOnError)
	flags.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	options, err := flags.options(set.Args())
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// fieldOf returns the JSON of a field of a request, by the names of Docker's API.
func fieldOf(t *testing.T, options engine.CreateOptions, path string) string {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	value := json.RawMessage(text)
	for name := range strings.SplitSeq(path, ".") {
		object := map[string]json.RawMessage{}
		if err := json.Unmarshal(value, &object); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		value = object[name]
	}
	return string(value)
}

// flagFields are flags, and the fields of the request in which they are: FILE is a file that says F=1.
var flagFields = []struct{ flags, path, want string }{
	{"--name n", "Name", `"n"`},
	{"-h host", "Config.Hostname", `"host"`},
	{"--domainname d", "Config.Domainname", `"d"`},
	{"-u 1:2", "Config.User", `"1:2"`},
	{"-i -a stdin", "Config.AttachStdin", "true"},
	{"-a stdout", "Config.AttachStdout", "true"},
	{"-a stdout", "Config.AttachStderr", "false"},
	{"--expose 80-81/udp", "Config.ExposedPorts", `{"80/udp":{},"81/udp":{}}`},
	{"-t", "Config.Tty", "true"},
	{"-i", "Config.OpenStdin", "true"},
	{"-i", "Config.StdinOnce", "true"},
	{"-e A=1 --env-file FILE", "Config.Env", `["F=1","A=1"]`},
	{"", "Config.Cmd", `["cmd","-x"]`},
	{"", "Config.Image", `"image"`},
	{"-w /w", "Config.WorkingDir", `"/w"`},
	{`--entrypoint ["a","b"]`, "Config.Entrypoint", `["a","b"]`},
	{"--entrypoint=", "Config.Entrypoint", `[""]`},
	{"-l k=v --label-file FILE", "Config.Labels", `{"F":"1","k":"v"}`},
	{"--no-healthcheck", "Config.Healthcheck", `{"Test":["NONE"]}`},
	{"--stop-signal INT", "Config.StopSignal", `"INT"`},
	{"--stop-timeout 3", "Config.StopTimeout", "3"},

	{"-v /a:/b:ro", "HostConfig.Binds", `["/a:/b:ro"]`},
	{"--cidfile /c", "HostConfig.ContainerIDFile", `"/c"`},
	{"", "HostConfig.LogConfig", `{"Type":"json-file","Config":{}}`},
	{"--network none", "HostConfig.NetworkMode", `"none"`},
	{"-p 127.0.0.1:8080:80", "HostConfig.PortBindings", `{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]}`},
	{"-P", "HostConfig.PublishAllPorts", "true"},
	{"--restart no", "HostConfig.RestartPolicy", `{"Name":"no","MaximumRetryCount":0}`},
	{"--rm", "HostConfig.AutoRemove", "true"},
	{"--annotation a=b", "HostConfig.Annotations", `{"a":"b"}`},
	{"--cap-add a,b", "HostConfig.CapAdd", `["a","b"]`},
	{"--cap-drop all", "HostConfig.CapDrop", `["all"]`},
	{"--dns 1.1.1.1 --dns ::1", "HostConfig.Dns", `["1.1.1.1","::1"]`},
	{"--dns-option o", "HostConfig.DnsOptions", `["o"]`},
	{"--dns-search s", "HostConfig.DnsSearch", `["s"]`},
	{"--add-host h:1.2.3.4", "HostConfig.ExtraHosts", `["h:1.2.3.4"]`},
	{"--privileged", "HostConfig.Privileged", "true"},
	{"--read-only", "HostConfig.ReadonlyRootfs", "true"},
	{"--security-opt no-new-privileges", "HostConfig.SecurityOpt", `["no-new-privileges"]`},
	{"--storage-opt size=64m", "HostConfig.StorageOpt", `{"size":"64m"}`},
	{"--tmpfs /t:size=1m", "HostConfig.Tmpfs", `{"/t":"size=1m"}`},
	{"--userns keep-id", "HostConfig.UsernsMode", `"keep-id"`},
	{"--shm-size 1m", "HostConfig.ShmSize", "1048576"},
	{"--init", "HostConfig.Init", "true"},

	{"--cpu-shares 2", "HostConfig.CpuShares", "2"},
	{"-m 64m", "HostConfig.Memory", "67108864"},
	{"--cpus 1.5", "HostConfig.NanoCpus", "1500000000"},
	{"--cgroup-parent /p", "HostConfig.CgroupParent", `"/p"`},
	{"--blkio-weight 20", "HostConfig.BlkioWeight", "20"},
	{"--blkio-weight-device /dev/a:20", "HostConfig.BlkioWeightDevice", `[{"Path":"/dev/a","Weight":20}]`},
	{"--device-read-bps /dev/a:1k", "HostConfig.BlkioDeviceReadBps", `[{"Path":"/dev/a","Rate":1024}]`},
	{"--device-write-bps /dev/a:1k", "HostConfig.BlkioDeviceWriteBps", `[{"Path":"/dev/a","Rate":1024}]`},
	{"--device-read-iops /dev/a:9", "HostConfig.BlkioDeviceReadIOps", `[{"Path":"/dev/a","Rate":9}]`},
	{"--device-write-iops /dev/a:9", "HostConfig.BlkioDeviceWriteIOps", `[{"Path":"/dev/a","Rate":9}]`},
	{"--cpu-period 1000", "HostConfig.CpuPeriod", "1000"},
	{"--cpu-quota 1000", "HostConfig.CpuQuota", "1000"},
	{"--cpu-rt-period 5", "HostConfig.CpuRealtimePeriod", "5"},
	{"--cpu-rt-runtime 5", "HostConfig.CpuRealtimeRuntime", "5"},
	{"--cpuset-cpus 0-1", "HostConfig.CpusetCpus", `"0-1"`},
	{"--cpuset-mems 0", "HostConfig.CpusetMems", `"0"`},
	{"--memory-reservation 8m", "HostConfig.MemoryReservation", "8388608"},
	{"--memory-swap -1", "HostConfig.MemorySwap", "-1"},
	{"--memory-swappiness 5", "HostConfig.MemorySwappiness", "5"},
	{"--oom-kill-disable", "HostConfig.OomKillDisable", "true"},
	{"--pids-limit 9", "HostConfig.PidsLimit", "9"},
	{"--kernel-memory 8m", "HostConfig.KernelMemory", "8388608"},
	{"--ulimit nofile=64:128", "HostConfig.Ulimits", `[{"Name":"nofile","Hard":128,"Soft":64}]`},
}

// TestFlagsFillTheRequest looks for what each flag says in the field of Docker's object that has it.
func TestFlagsFillTheRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("F=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range flagFields {
		flags := strings.Fields(strings.ReplaceAll(row.flags, "FILE", file))
		options := requestOf(t, append(flags, "image", "cmd", "-x"))
		if got := fieldOf(t, options, row.path); got != row.want {
			t.Errorf("%s: %s is %s, want %s", row.flags, row.path, got, row.want)
		}
	}
}

// TestFlagsOfRootfs has a directory in the place of an image.
func TestFlagsOfRootfs(t *testing.T) {
	options := requestOf(t, []string{"--rootfs", "/r:O", "cmd"})
	if h := options.HostConfig; h.Rootfs != "/r" || !h.RootfsOverlay || options.Config.Image != "" {
		t.Errorf("got %+v", options)
	}
}
