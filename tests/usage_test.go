package tests

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestUsageErrors calls commands in wrong ways: each says what is wrong, what may be meant, and where help is.
func TestUsageErrors(t *testing.T) {
	u := newUser(t)
	for _, test := range []struct {
		args string
		want string
	}{
		{"run --nmae x bb", "rcrun: unknown flag: --nmae: did you mean --name?\nSee 'rcrun run --help'.\n"},
		{"run --gpus all bb", "rcrun: 'rcrun run' has no --gpus: mount the host's devices and libraries with -v, if " +
			"you may open them\nSee 'rcrun run --help'.\n"},
		{"logs --folow x", "rcrun: unknown flag: --folow: did you mean --follow?\nSee 'rcrun logs --help'.\n"},
		{"rm", "rcrun: 'rcrun rm' requires at least 1 argument\n\nUsage:  rcrun rm [flags] CONTAINER...\n\nSee " +
			"'rcrun rm --help'.\n"},
		{"logs a b", "rcrun: 'rcrun logs' requires 1 argument\n\nUsage:  rcrun logs [flags] CONTAINER\n\nSee 'rcrun " +
			"logs --help'.\n"},
		{"run", "rcrun: 'rcrun run' requires an image, or --rootfs DIR[:O]\n\nUsage:  rcrun run [flags] IMAGE " +
			"[COMMAND [ARG...]]\n\nSee 'rcrun run --help'.\n"},
		{"run --rootfs :O", "rcrun: 'rcrun run' requires an image, or --rootfs DIR[:O]\n\nUsage:  rcrun run [flags] " +
			"IMAGE [COMMAND [ARG...]]\n\nSee 'rcrun run --help'.\n"},
		{"container ls x", "rcrun: 'rcrun container ls' accepts no arguments\n\nUsage:  rcrun container ls " +
			"[flags]\n\nSee 'rcrun container ls --help'.\n"},
		{"iamges", "rcrun: unknown command \"iamges\" for \"rcrun\": did you mean images?\nSee 'rcrun --help'.\n"},
		{"help nosuch", "rcrun: unknown command \"nosuch\" for \"rcrun\"\nSee 'rcrun --help'.\n"},
		{"help image nosuch", "rcrun: unknown command \"nosuch\" for \"rcrun image\"\nSee 'rcrun image --help'.\n"},
		{"rm -f nosuch1 nosuch2/x rm",
			"rcrun: no such container: nosuch1\nrcrun: no such container: nosuch2/x\nrcrun: no such container: rm\n"},
		{"rmi nosuch1 nosuch2", "rcrun: no image \"nosuch1\" in the store\nrcrun: no image \"nosuch2\" in the store\n"},
	} {
		r := u.try(strings.Fields(test.args)...)
		if r.stderr != test.want || r.stdout != "" {
			t.Errorf("rcrun %s says\n%s%s, and not\n%s", test.args, r.stdout, r.stderr, test.want)
		}
		if want := 125; r.code != want && !strings.HasPrefix(test.args, "rm -f") {
			t.Errorf("rcrun %s: exit code %d", test.args, r.code)
		}
	}
}

// TestRefusedBeforePulling gives flags that cannot work for an image that is not there: it is not looked for.
func TestRefusedBeforePulling(t *testing.T) {
	u := newUser(t)
	for _, flag := range []string{
		"--network=bogus", "--security-opt=bogus", "--memory=1k", "--ulimit=nofile=1:99999999999", "--name=!bogus",
		"--pull=bogus", "--volume=/bogus", "--dns=bogus", "--workdir=bogus",
	} {
		_, value, _ := strings.Cut(flag, "=")
		for _, command := range []string{"run", "create"} {
			r := u.try(command, flag, "nosuch", "true")
			if r.code != 125 || strings.Contains(r.stderr, "nosuch") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%s %s: exit code %d\n%s", command, flag, r.code, r.stderr)
			}
			if strings.Contains(value, "bogus") {
				contains(t, r.stderr, value)
			}
		}
	}
	u.fails(125, []string{`--pull "bogus"`}, "run", "--pull=bogus", "--rootfs", "/:O", "true")
}

// TestAbsentCommands calls commands of Docker's that are not there: the error names a way round, and no other command.
func TestAbsentCommands(t *testing.T) {
	u := newUser(t)
	for args, way := range map[string]string{
		"cp -a web:/etc .": "tar", "top web": "exec", "port web": "ps", "pause web": "cgroup",
		"stats --no-stream": "State.Pid",
		"restart web":       "stop", "volume ls": "-v", "image build .": "load", "container cp a b": "tar",
		"help build":    "load",
		"compose up -d": "run", "buildx version": "built",
	} {
		r := u.try(strings.Fields(args)...)
		u.failed(r, 125, "rcrun has no command", way)
		if strings.Contains(r.stderr, "did you mean") {
			t.Errorf("%s: %s", args, r.stderr)
		}
	}
}

// TestProbes asks what tools ask before they use a container engine.
func TestProbes(t *testing.T) {
	u := newUser(t)
	version := u.run("version", "--format", "{{.Server.Version}}")
	u.prints("rcrun version "+version, "--version")
	u.prints("rcrun version "+version, "-v")
	u.prints(version+" "+runtime.GOOS, "version", "-f", "{{.Client.Version}} {{.Client.Os}}")
	var v struct {
		Client, Server struct{ Version, Arch string }
	}
	if err := json.Unmarshal([]byte(u.run("version", "--format", "json")), &v); err != nil ||
		v.Client.Version != version || v.Server.Arch != runtime.GOARCH {
		t.Errorf("version as JSON: %+v, %v", v, err)
	}
	u.fails(125, []string{"template parsing error"}, "version", "-f", "{{.Nosuch}}")

	host, _ := os.Hostname()
	u.prints(host+" linux none fuse 0 0 "+u.path("home", ".local", "share", "rcrun"), "info", "-f",
		"{{.Name}} {{.OSType}} {{.CgroupDriver}} {{.Driver}} {{.Containers}} {{.Images}} {{.DockerRootDir}}")
	for _, field := range []string{"ServerVersion", "CgroupVersion", "NCPU", "MemTotal", "OperatingSystem",
		"Architecture", "KernelVersion"} {
		if got := u.run("system", "info", "-f", "{{."+field+"}}"); got == "" || got == "0" {
			t.Errorf("info: %s is %q", field, got)
		}
	}
	contains(t, u.run("info", "-f", "{{json .SecurityOptions}}"), "name=rootless", "name=seccomp")
	u.fails(125, []string{"Nosuch"}, "info", "-f", "{{.Nosuch}}")
}

// TestDockerGlobals gives the flags that stand before the commands of Docker's client.
func TestDockerGlobals(t *testing.T) {
	u := newUser(t)
	u.prints("", "-H", "unix:///var/run/docker.sock", "--context", "default", "--tls=false", "ps", "-q")
	u.fails(125, []string{"--host tcp://10.0.0.1:2375", "no daemon"}, "-H", "tcp://10.0.0.1:2375", "ps")
	u.fails(125, []string{"--host ssh://me@there"}, "--host=ssh://me@there", "info")
	u.fails(125, []string{"--context prod"}, "-c", "prod", "ps")
	u.fails(125, []string{"--log-level", "odd"}, "-l", "odd", "ps")
	u.fails(125, []string{"unknown shorthand flag"}, "ps", "-H", "unix:///x")
	u.fails(125, []string{"no storage driver", "nosuch"}, "--storage-driver", "nosuch", "ps")
	for _, args := range [][]string{{"-D"}, {"--debug"}, {"-l", "debug"}, {"--log-level=debug"}} {
		if r := u.try(append(args, "images")...); r.code != 0 || !strings.Contains(r.stderr, "level=debug") {
			t.Errorf("%q logs nothing: %s", args, r.stderr)
		}
	}
	if r := u.try("images"); r.stderr != "" {
		t.Errorf("logs are printed unasked: %s", r.stderr)
	}
}

// TestConfigDirectory logs in with a configuration directory like Docker's: only there are the credentials afterwards,
// and what else is in the file stays.
func TestConfigDirectory(t *testing.T) {
	u := newUser(t)
	server, _ := u.startPrivateRegistry()
	dir := u.path("home", "conf")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	u.writeFile(dir+"/config.json", `{"psFormat": "x"}`)
	u.run("--config", dir, "login", "-u", "me", "-p", "secret", server.host)
	text, err := os.ReadFile(dir + "/config.json")
	if err != nil || !strings.Contains(string(text), "psFormat") || !strings.Contains(string(text), server.host) {
		t.Errorf("config.json: %s, %v", text, err)
	}
	u.fails(125, []string{"authentication required"}, "pull", "-q", server.host+"/app")
	u.fails(125, []string{"manifest unknown"}, "--config", dir, "pull", "-q", server.host+"/app")
	u.fails(125, []string{"manifest unknown"}, "--config", dir, "run", "-q", server.host+"/app")
	u.fails(125, []string{"not a directory"}, "--config", dir+"/config.json", "pull", server.host+"/app")
	u.run("--config", dir, "logout", server.host)
	u.fails(125, []string{"authentication required"}, "--config", dir, "pull", "-q", server.host+"/app")
}

// TestAttachFlag attaches only some of a container's streams.
func TestAttachFlag(t *testing.T) {
	u := newUserWithImage(t)
	run := func(flags ...string) result {
		t.Helper()
		return u.tryWith([]byte("in\n"), append(append([]string{"run", "--rm"}, flags...), "bb", "sh", "-c",
			"echo out; echo err >&2; cat")...)
	}
	for flags, want := range map[string][2]string{
		"-a stdout":                             {"out\n", ""},
		"-a STDERR":                             {"", "err\n"},
		"-i -a stdin -a stdout -a stderr":       {"out\nin\n", "err\n"},
		"-i -a stdin -a stdout":                 {"out\nin\n", ""},
		"--sig-proxy=false -a STDOUT -a STDERR": {"out\n", "err\n"},
	} {
		if r := run(strings.Fields(flags)...); r.code != 0 || r.stdout != want[0] || r.stderr != want[1] {
			t.Errorf("%s: %+v", flags, r)
		}
	}
	u.fails(125, []string{"--attach", "odd"}, "run", "-a", "odd", "bb")
	u.fails(125, []string{"--attach", "--detach"}, "run", "-d", "-a", "stdout", "bb")
}

// TestInspectSize asks for the size of what a container has written.
func TestInspectSize(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "--network", "none", "bb", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=1")
	parts := strings.Fields(u.run("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "c1"))
	if len(parts) != 2 || parts[0] != "1048576" || len(parts[1]) < len(parts[0]) {
		t.Errorf("sizes: %q", parts)
	}
	if strings.Contains(u.run("inspect", "c1"), "SizeRw") {
		t.Error("inspect measures unasked")
	}
}
