package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// expect compares what a container printed, ignoring white space.
func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

func TestIDMaps(t *testing.T) {
	for name, test := range map[string]struct {
		mapIDs func(context.Context, int) error
		want   string
	}{
		"one id": {mapOne, fmt.Sprintf("0 %d 1 0:0", os.Getuid())},
		"all":    {mapAll(t), fmt.Sprintf("0 %d 1 1 %d 65536 0:0", os.Getuid(), subordinateOrRoot(t))},
		"nomap":  {mapNone(t), fmt.Sprintf("0 %d 65536 0:0", subordinateOrRoot(t))},
	} {
		t.Run(name, func(t *testing.T) {
			b := run(t, []string{"sleep", "1000"}, func(c *Config) {
				c.MapIDs = test.mapIDs
				private := filepath.Join(t.TempDir(), "private", "mount")
				must(t, os.MkdirAll(private, 0o700)) // no way for another user than the caller
				must(t, os.Chmod(filepath.Dir(private), 0o700))
				c.Dir = private
			})
			// The container sees its ids as those of the sandbox's namespace, which are the same.
			seen, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", b.InitPid()))
			must(t, err)
			out, _ := inside(t, b, shell(`echo $(id -u):$(id -g)`))
			expect(t, "uid map and ids", string(seen)+out, test.want)
		})
	}
}

func subordinateOrRoot(t *testing.T) int {
	if os.Getuid() == 0 {
		return 100000
	}
	return subordinate(t)
}

func TestUser(t *testing.T) {
	const script = `id; umask; cat /proc/self/status | grep Groups; echo to stderr > /dev/stderr`
	out, stderr, code := finish(t, script, func(c *Config) {
		c.Spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 27}}
	})
	if code != 0 || stderr != "to stderr\n" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	expect(t, "identity", out, "uid=1000 gid=1001 groups=5,27 0022 Groups: 5 27")
}

func TestUserByName(t *testing.T) {
	withUsers := func(who string) func(*Config) {
		return func(c *Config) {
			etc := filepath.Join(c.RootConfig.(bindRoot).Path, "etc")
			const users = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n"
			must(t, os.WriteFile(filepath.Join(etc, "passwd"), []byte(users), 0o644))
			must(t, os.WriteFile(filepath.Join(etc, "group"), []byte("log:x:40:web\nfar:x:99999999:web\n"), 0o644))
			c.Spec.Process.User.Username = who
		}
	}
	for who, want := range map[string]string{
		"web":     "uid=33(web) gid=34 groups=40(log) /srv",
		"33":      "uid=33(web) gid=34 groups=40(log) /srv",
		"web:log": "uid=33(web) gid=40(log) /srv",
		"7:8":     "uid=7 gid=8 /",
	} {
		out, stderr, _ := finish(t, `id; echo $HOME`, withUsers(who))
		expect(t, who+stderr, out, want)
	}
	b := create(t, []string{"true"}, withUsers("nosuch"))
	if err := b.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "find the user") {
		t.Errorf("start as a user that does not exist: %v", err)
	}
}

// A user file that is a fifo must not block the start.
func TestUserFileIsFifo(t *testing.T) {
	b := create(t, []string{"true"}, func(c *Config) {
		must(t, unix.Mkfifo(filepath.Join(c.RootConfig.(bindRoot).Path, "etc", "passwd"), 0o644))
		c.Spec.Process.User.Username = "web"
	})
	if err := b.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("start: %v", err)
	}
}

func TestUserNotMapped(t *testing.T) {
	b := create(t, []string{"true"}, func(c *Config) {
		c.MapIDs = mapOne
		c.Spec.Process.User = specs.User{UID: 1000, GID: 1000}
	})
	err := b.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "user 1000:1000 is not in the id map") {
		t.Errorf("start: %v", err)
	}
}

func TestFirstProcess(t *testing.T) {
	const script = `echo $$; hostname; env; readlink /proc/self/cwd; ls /proc/self/fd | grep -c .`
	out, _, _ := finish(t, script, func(c *Config) {
		c.Spec.Process.Env = []string{"PATH=/bin", "A=b c"}
		c.Spec.Process.Cwd = "/work"
	})
	expect(t, "pid, host name, environment, directory, files", out,
		"1 box SHLVL=1 A=b c PATH=/bin PWD=/work /work 4")
}

func TestNamespaces(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	for _, ns := range []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"} {
		ours, err := os.Readlink("/proc/self/ns/" + ns)
		must(t, err)
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.InitPid(), ns))
		must(t, err)
		if ours == theirs {
			t.Errorf("the container shares the %s namespace with the host", ns)
		}
	}
}

func TestHostNetwork(t *testing.T) {
	host, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	out, stderr, _ := finish(t, `readlink /proc/self/ns/net; ls -d /sys/class/net/lo; touch /sys/x`, func(c *Config) {
		namespaces := c.Spec.Linux.Namespaces
		c.Spec.Linux.Namespaces = namespaces[:len(namespaces)-1] // the network is the last
	})
	expect(t, "network namespace and sysfs", out, host+" /sys/class/net/lo")
	if !strings.Contains(stderr, "Read-only file system") {
		t.Errorf("writing to /sys: %q", stderr)
	}
}

func TestLoopback(t *testing.T) {
	out, _, _ := finish(t, `ifconfig lo | grep -o -e 127.0.0.1 -e UP`, nil)
	expect(t, "lo", out, "127.0.0.1 UP")
}

func TestNetworkCallback(t *testing.T) {
	called := 0
	create(t, []string{"true"}, func(c *Config) {
		c.Network = func(_ context.Context, pid int) error { called = pid; return nil }
	})
	if called == 0 {
		t.Error("the network was not set up")
	}
	_, err := Create(context.Background(), newConfig(t, []string{"true"}, func(c *Config) {
		c.Network = func(context.Context, int) error { return errors.New("no cable") }
	}))
	if err == nil || !strings.Contains(err.Error(), "set up network: no cable") {
		t.Errorf("create without a network: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		script string
		want   ExitStatus
	}{
		{"exit 0", ExitStatus{}},
		{"exit 7", ExitStatus{Code: 7}},
		{"exit 255", ExitStatus{Code: 255}},
		{"trap 'exit 9' TERM; echo ready; while true; do sleep 0.01; done", ExitStatus{Code: 9}},
	} {
		b := run(t, []string{"sh", "-c", test.script}, nil)
		if strings.Contains(test.script, "TERM") {
			eventually(t, "the handler is there", func() bool { return b.Signal(syscall.SIGTERM) != nil })
		}
		if status, err := b.Wait(t.Context()); err != nil || status != test.want {
			t.Errorf("%s: ended with %+v, %v; want %+v", test.script, status, err, test.want)
		}
	}
}

func TestSignals(t *testing.T) {
	for _, test := range []struct {
		init bool
		sig  syscall.Signal
		want ExitStatus
	}{
		{false, unix.SIGKILL, ExitStatus{Code: 137, Signal: 9}},
		{true, unix.SIGKILL, ExitStatus{Code: 137, Signal: 9}},
		{true, unix.SIGTERM, ExitStatus{Code: 143}},
		{true, unix.SIGHUP, ExitStatus{Code: 129}},
	} {
		b := run(t, []string{"sleep", "1000"}, func(c *Config) { c.Init = test.init })
		must(t, b.Signal(test.sig))
		if status, err := b.Wait(t.Context()); err != nil || status != test.want {
			t.Errorf("init %v, %v: ended with %+v, %v; want %+v", test.init, test.sig, status, err, test.want)
		}
		if err := b.Signal(unix.SIGTERM); !errors.Is(err, ErrExited) {
			t.Errorf("signal after the end: %v", err)
		}
	}
}

// The first process of a pid namespace ignores signals that it has no handler for.
func TestTermIgnored(t *testing.T) {
	b := run(t, []string{"sleep", "1000"}, nil)
	must(t, b.Signal(unix.SIGTERM))
	p, err := b.Exec(t.Context(), ExecConfig{Process: shell("exit 0")})
	if err != nil {
		t.Fatalf("the container ended: %v", err)
	}
	p.Wait(t.Context())
	p.Close()
}

func TestSignalDispositions(t *testing.T) {
	for _, init := range []bool{false, true} {
		b := run(t, []string{"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"}, func(c *Config) { c.Init = init })
		b.Wait(t.Context())
		out := b.stdout.all()
		expect(t, "signals", out, "SigBlk: 0000000000000000 SigIgn: 0000000000000000")
	}
}

func TestFileLimit(t *testing.T) {
	out, _, _ := finish(t, `ulimit -n; ulimit -c`, func(c *Config) {
		c.Spec.Process.Rlimits = []specs.POSIXRlimit{
			{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 100}, {Type: "RLIMIT_CORE"},
		}
	})
	expect(t, "limits", out, "99 0")

	// Go raises its own limit; the payload gets the limit from before that.
	own, err := exec.Command("sh", "-c", "ulimit -n").Output()
	must(t, err)
	out, _, _ = finish(t, `ulimit -n`, nil)
	expect(t, "limit that is not set", out, string(own))
}

func TestExecErrors(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"nosuch"}, 127, `exec: "nosuch": executable file not found in $PATH`},
		{[]string{"/nosuch"}, 127, `exec: "/nosuch": no such file or directory`},
		{[]string{"/etc/plain"}, 126, `exec: "/etc/plain": permission denied`},
		{[]string{"/etc"}, 126, `exec: "/etc": permission denied`},
		{[]string{"/etc/odd"}, 126, `exec: "/etc/odd": exec format error`},
		{[]string{""}, 127, `exec: "": executable file not found in $PATH`},
		{nil, 126, `exec: no command specified`},
	} {
		var root string
		change := func(c *Config) {
			root = c.RootConfig.(bindRoot).Path
			must(t, os.WriteFile(filepath.Join(root, "etc/plain"), []byte("x"), 0o644))
			must(t, os.WriteFile(filepath.Join(root, "etc/odd"), []byte("\x00\x01odd"), 0o755))
			c.Spec.Linux.Seccomp, _ = DefaultSeccomp(c.Spec)
		}
		b := create(t, test.args, change)
		err := b.Start(t.Context())
		var refused *ExecError
		if !errors.As(err, &refused) || refused.Code != test.code || !strings.HasPrefix(refused.Text, test.text) {
			t.Errorf("start of %q: %v, want %d %s", test.args, err, test.code, test.text)
		}
		if again := b.Start(t.Context()); again != err {
			t.Errorf("the second start says %v", again)
		}
	}
}

func TestBadWorkingDirectory(t *testing.T) {
	for _, cwd := range []string{"/proc/self/fd/3", "/proc/1/root"} {
		b := create(t, []string{"true"}, func(c *Config) { c.Spec.Process.Cwd = cwd })
		if err := b.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "enter working directory "+cwd) {
			t.Errorf("start in %s: %v", cwd, err)
		}
	}
}

// A missing working directory is made, also below a mount. One that cannot be made is an error.
func TestMissingWorkingDirectory(t *testing.T) {
	b := create(t, []string{"true"}, func(c *Config) { c.Spec.Process.Cwd = "/made/by/init" })
	if err := b.Start(t.Context()); err != nil {
		t.Errorf("a missing directory: %v", err)
	}
	b = create(t, []string{"true"}, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/t"})
		c.Spec.Process.Cwd = "/t/made"
	})
	if err := b.Start(t.Context()); err != nil {
		t.Errorf("a missing directory below a mount: %v", err)
	}
	_, err := Create(context.Background(), newConfig(t, []string{"true"}, func(c *Config) {
		c.Spec.Process.Cwd = "/bin/busybox/x"
	}))
	if !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), "make working directory /bin/busybox/x: ") {
		t.Errorf("a directory below a file: %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`unknown kind of root "nosuch"`: func(c *Config) { c.RootKind = "nosuch" },
		"hooks is not supported": func(c *Config) {
			c.Spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/x"}}}
		},
		"map ids: no": func(c *Config) {
			c.MapIDs = func(context.Context, int) error { return errors.New("no") }
		},
		"open bind source /nosuch: no such": func(c *Config) {
			c.Spec.Mounts = append(c.Spec.Mounts, bindMount("/nosuch", "/x"))
		},
		"init: mount nosuchfs on /x: no such device": func(c *Config) {
			c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Type: "nosuchfs", Destination: "/x"})
		},
		"unknown capability": func(c *Config) { c.Spec.Process.Capabilities.Bounding = []string{"CAP_NOSUCH"} },
	} {
		container, err := Create(context.Background(), newConfig(t, []string{"true"}, change))
		if err == nil {
			err = container.Start(t.Context())
			container.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestCreateCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var pid int
	_, err := Create(ctx, newConfig(t, []string{"true"}, func(c *Config) {
		c.MapIDs = func(_ context.Context, p int) error { pid = p; cancel(); return nil }
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("create: %v", err)
	}
	checkGone(t, pid)
}

func TestParallel(t *testing.T) {
	var group sync.WaitGroup
	for i := range 10 {
		b := create(t, []string{"sh", "-c", fmt.Sprintf("exit %d", i)}, nil)
		group.Go(func() {
			if err := b.Start(t.Context()); err != nil {
				t.Errorf("start: %v", err)
			}
			if status, err := b.Wait(t.Context()); err != nil || status.Code != i {
				t.Errorf("container %d ended with %+v, %v", i, status, err)
			}
		})
	}
	group.Wait()
}

func TestReaper(t *testing.T) {
	script := `(sleep 0.01 & ) ; (true &) ; sleep 0.2
		for i in $(seq 300); do ps -o stat,comm | grep -q '^Z' || break; sleep 0.1; done
		ps -o stat,comm | grep -c '^Z'; echo first: $(cat /proc/1/comm) shell: $$`
	out, _, _ := finish(t, script, func(c *Config) { c.Init = true })
	fields := strings.Fields(out)
	if len(fields) != 5 || fields[0] != "0" || fields[4] == "1" {
		t.Errorf("zombies, first process: %s", out)
	}
}

// BenchmarkTrue measures a container from its creation until everything of it has gone.
func BenchmarkTrue(b *testing.B) {
	config := newConfig(b, []string{"true"}, nil)
	for b.Loop() {
		c, err := Create(context.Background(), config)
		must(b, err)
		must(b, c.Start(b.Context()))
		c.Wait(b.Context())
		must(b, c.Close())
	}
}
