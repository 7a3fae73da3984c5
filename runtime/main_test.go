package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/tests/patience"
)

// The test binary is executed again as the stages, and as a creator that can be killed.
func TestMain(m *testing.M) {
	if attack := attacks[os.Getenv(attackEnv)]; attack != nil {
		attack()
		os.Exit(0)
	}
	switch filepath.Base(os.Args[0]) {
	case keyHolderName:
		os.Exit(keyHolderMain())
	case SandboxStage:
		os.Exit(SandboxMain(map[string]RootFactory{"bind": newBindRoot, "moved": newMovedRoot}))
	case creatorName:
		os.Exit(creatorMain())
	}
	os.Exit(m.Run())
}

// bindRoot is the simplest root filesystem: a directory.
type bindRoot struct{ Path string }

func newBindRoot(config json.RawMessage) (Root, error) {
	var r bindRoot
	return r, json.Unmarshal(config, &r)
}

func (r bindRoot) Mount(target string) (*os.File, error) {
	return nil, unix.Mount(r.Path, target, "", unix.MS_BIND|unix.MS_REC, "")
}

// movedRoot is a bindRoot that replaces the way to its mount point as soon as it is mounted.
type movedRoot struct{ Path, Dir, Other string }

func newMovedRoot(config json.RawMessage) (Root, error) {
	var r movedRoot
	return r, json.Unmarshal(config, &r)
}

func (r movedRoot) Mount(target string) (*os.File, error) {
	if _, err := (bindRoot{r.Path}).Mount(target); err != nil {
		return nil, err
	}
	parent := filepath.Dir(r.Dir)
	return nil, errors.Join(os.Rename(parent, parent+".moved"), os.Mkdir(parent, 0o700), os.Symlink(r.Other, r.Dir))
}

const busybox = "/bin/busybox"

// tree makes a root directory with busybox in it.
func tree(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != "/tmp"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	for _, dir := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "work"} {
		must(t, os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o1777))
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatalf("no static busybox, which scripts/setup installs: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755))
	for _, name := range []string{"sh", "cat", "ls", "id", "stty", "tty", "sleep", "hostname", "touch", "grep", "stat",
		"mount", "true", "chmod", "echo", "readlink", "kill", "ps", "test", "unshare", "ip", "ifconfig", "env", "mkdir",
		"dd", "umask"} {
		must(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// box is a container under test.
type box struct {
	*Container
	stdout, stderr *output
}

// output collects what is written to its pipe.
type output struct {
	w    *os.File
	done chan struct{}
	text bytes.Buffer // complete when done is closed
}

func newOutput(t testing.TB) *output {
	r, w, err := os.Pipe()
	must(t, err)
	o := &output{w: w, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		defer r.Close()
		io.Copy(&o.text, r)
	}()
	return o
}

// all waits for the last writer to close.
func (o *output) all() string {
	o.w.Close()
	<-o.done
	return o.text.String()
}

// newConfig returns the configuration of a container that runs args, adjusted by change.
func newConfig(t testing.TB, args []string, change func(*Config)) Config {
	c := Config{
		Spec:       DefaultSpec(args...),
		RootKind:   "bind",
		RootConfig: bindRoot{tree(t)},
		Dir:        t.TempDir(),
		MapIDs:     mapAll(t),
		LogFile:    os.Stderr,
	}
	c.Spec.Hostname = "box"
	if change != nil {
		change(&c)
	}
	return c
}

// create makes a container, and checks after the test that nothing of it remains.
func create(t testing.TB, args []string, change func(*Config)) box {
	t.Helper()
	c := newConfig(t, args, change)
	b := box{stdout: newOutput(t), stderr: newOutput(t)}
	if c.Stdout == nil {
		c.Stdout = b.stdout.w
	}
	if c.Stderr == nil {
		c.Stderr = b.stderr.w
	}
	container, err := Create(context.Background(), c)
	if err != nil {
		t.Fatalf("create: %v; stderr: %s", err, b.stderr.all())
	}
	b.Container = container
	t.Cleanup(func() {
		if err := container.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		b.stdout.all()
		b.stderr.all()
		checkGone(t, container.sandbox.proc.Pid, container.InitPid())
	})
	return b
}

// run creates and starts a container.
func run(t testing.TB, args []string, change func(*Config)) box {
	t.Helper()
	b := create(t, args, change)
	if err := b.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	return b
}

// finish runs a shell command in a container to its end.
func finish(t testing.TB, script string, change func(*Config)) (stdout, stderr string, code int) {
	t.Helper()
	b := run(t, []string{"sh", "-c", script}, change)
	status, err := b.Wait(t.Context())
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return b.stdout.all(), b.stderr.all(), status.Code
}

// checkGone fails if one of the processes runs or something is mounted below the test's directory.
func checkGone(t testing.TB, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool { return !alive(pid) })
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), t.Name()) {
		t.Errorf("something is still mounted:\n%s", mounts)
	}
}

// alive tells whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// eventually waits until another process has done something.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	patience.Eventually(t, what, holds)
}

// mapOne maps user and group 0 to the caller alone.
func mapOne(_ context.Context, pid int) error {
	return writeMaps(pid, fmt.Sprintf("0 %d 1", os.Getuid()), fmt.Sprintf("0 %d 1", os.Getgid()))
}

func writeMaps(pid int, uids, gids string) error {
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, file := range []struct{ name, text string }{{"setgroups", "deny"}, {"uid_map", uids}, {"gid_map", gids}} {
		if err := os.WriteFile(proc+file.name, []byte(file.text), 0); err != nil {
			return err
		}
	}
	return nil
}

// mapAll maps 0 to the caller and the rest to the caller's subordinate ids.
func mapAll(t testing.TB) func(context.Context, int) error {
	return mapRanges(t, fmt.Sprintf("0 %d 1", os.Getuid()), 1)
}

// mapNone maps 0 and up to subordinate ids: the caller is not in the map.
func mapNone(t testing.TB) func(context.Context, int) error { return mapRanges(t, "", 0) }

func mapRanges(t testing.TB, first string, next int) func(context.Context, int) error {
	t.Helper()
	sub := 100000
	if os.Getuid() != 0 {
		sub = subordinate(t)
	}
	rest := fmt.Sprintf("%d %d 65536", next, sub)
	return func(_ context.Context, pid int) error {
		if os.Getuid() == 0 {
			text := strings.TrimSpace(first + "\n" + rest)
			proc := fmt.Sprintf("/proc/%d/", pid)
			if err := os.WriteFile(proc+"uid_map", []byte(text), 0); err != nil {
				return err
			}
			return os.WriteFile(proc+"gid_map", []byte(text), 0)
		}
		args := append([]string{strconv.Itoa(pid)}, strings.Fields(first+" "+rest)...)
		for _, tool := range []string{"newuidmap", "newgidmap"} {
			if text, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", tool, err, text)
			}
		}
		return nil
	}
}

// subordinate returns the first of the caller's subordinate ids, which here are the same for users and groups.
func subordinate(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/etc/subuid")
	if err != nil {
		t.Skipf("no subordinate ids: %v", err)
	}
	self, err := user.Current()
	must(t, err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 3 && (fields[0] == self.Username || fields[0] == self.Uid) {
			first, err := strconv.Atoi(fields[1])
			must(t, err)
			return first
		}
	}
	t.Skipf("no subordinate ids of %s in /etc/subuid", self.Username)
	return 0
}

func bindMount(source, destination string, options ...string) specs.Mount {
	return specs.Mount{Type: "bind", Source: source, Destination: destination,
		Options: append([]string{"rbind"}, options...)}
}

const creatorName = "test-creator"

// creatorMain creates a container on the root and the directory in its arguments, with the command that follows them.
// It prints the pids of its processes and waits for its end.
func creatorMain() int {
	spec := DefaultSpec(os.Args[3:]...)
	if attack, ok := os.LookupEnv(attackEnv); ok && attack == "" { // which the payload makes
		spec.Process.Env = append(spec.Process.Env, attackEnv+"=keys")
	}
	c, err := Create(context.Background(), Config{
		Spec: spec, RootKind: "bind", RootConfig: bindRoot{os.Args[1]}, Dir: os.Args[2],
		MapIDs: mapOne, LogFile: os.Stderr, Stdout: os.Stdout, Stderr: os.Stderr, Init: true,
	})
	if err == nil {
		defer c.Close()
		fmt.Println(c.sandbox.proc.Pid, c.InitPid(), strings.Join(c.Warnings(), "\n"))
		err = c.Start(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status, err := c.Wait(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status.Code
}
