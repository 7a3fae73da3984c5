package tests

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
)

// user is somebody with a home of their own who runs rcrun.
type user struct {
	t   *testing.T
	dir string   // everything the user writes is below it
	env []string // the user's environment

	limit time.Duration // bounds every command on an idle machine
}

// newUser returns a user, and checks at the end of the test that nothing of them is left. The test runs in parallel
// with others.
func newUser(t *testing.T) *user {
	t.Helper()
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", ownPrefix)
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, dir: dir, limit: 2 * time.Minute}
	for _, name := range []string{"home", "run", "tmp"} {
		if err := os.Mkdir(u.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(sharedBinary, u.path("rcrun")); err != nil {
		t.Fatal(err)
	}
	u.env = []string{"HOME=" + u.path("home"), "XDG_RUNTIME_DIR=" + u.path("run"), "TMPDIR=" + u.path("tmp"),
		"PATH=" + os.Getenv("PATH"), "TERM=xterm", "LANG=C.UTF-8", "RCRUN=" + u.path("rcrun")}
	u.setenv("RCRUN_STORAGE_DRIVER", driverOf(t))
	u.setenv("RCRUN_XATTRS", xattrsOf(t))
	t.Cleanup(u.leave)
	return u
}

// hostMounts is held by tests that mount unions in the host's mount namespace, shared, and by those that run podman,
// alone. Podman keeps a process with a copy of that namespace, and so a copy of each mount in it: the server of a union
// that was unmounted then serves on.
var hostMounts sync.RWMutex

// newUserBeside is newUser for a test that holds a lock for as long as anything of the user may be left.
func newUserBeside(t *testing.T, lock sync.Locker) *user {
	t.Helper()
	locked := false
	t.Cleanup(func() { // after all that newUser has cleaned up
		if locked {
			lock.Unlock()
		}
	})
	u := newUser(t)
	lock.Lock() // not before newUser has let other tests run in parallel
	locked = true
	return u
}

// newUserWithImage returns a user who has the image "bb".
func newUserWithImage(t *testing.T) *user {
	u := newUser(t)
	u.importImage("bb", busyboxTree(t), "-c", `CMD ["sh"]`)
	return u
}

// with returns the same user in another test.
func (u *user) with(t *testing.T) *user {
	other := *u
	other.t = t
	return &other
}

func (u *user) path(elements ...string) string {
	return filepath.Join(append([]string{u.dir}, elements...)...)
}

// entries returns the names in a directory of the user's.
func (u *user) entries(elements ...string) []string {
	u.t.Helper()
	entries, err := os.ReadDir(u.path(elements...))
	if err != nil {
		u.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// setenv changes the user's environment; an empty value removes the variable.
func (u *user) setenv(name, value string) {
	var env []string
	for _, entry := range u.env {
		if !strings.HasPrefix(entry, name+"=") {
			env = append(env, entry)
		}
	}
	if value != "" {
		env = append(env, name+"="+value)
	}
	u.env = env
}

// result is how a command ended.
type result struct {
	command        string
	stdout, stderr string
	code           int // as a shell shows it
}

// out is what a command printed without the last newline.
func (r result) out() string { return strings.TrimSuffix(r.stdout, "\n") }

// cmd prepares "rcrun ARGS".
func (u *user) cmd(args ...string) *exec.Cmd {
	return u.command(u.path("rcrun"), args...)
}

// command prepares any command with the user's environment.
func (u *user) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := patience.Context(u.limit)
	u.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = u.env, u.path("home")
	cmd.WaitDelay = patience.Of(5 * time.Second)
	cmd.Cancel = func() error {
		if context.Cause(ctx) == context.DeadlineExceeded {
			return cmd.Process.Signal(syscall.SIGQUIT) // says what it is waiting for
		}
		return cmd.Process.Kill()
	}
	return cmd
}

// try runs "rcrun ARGS" and returns how it ended.
func (u *user) try(args ...string) result {
	u.t.Helper()
	return u.finish(u.cmd(args...))
}

// tryWith is try with standard input.
func (u *user) tryWith(stdin []byte, args ...string) result {
	u.t.Helper()
	cmd := u.cmd(args...)
	cmd.Stdin = bytes.NewReader(stdin)
	return u.finish(cmd)
}

// finish runs a command to its end.
func (u *user) finish(cmd *exec.Cmd) result {
	u.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		u.t.Errorf("%v: a process that it left keeps its output open", cmd.Args[1:])
	case err != nil && !errors.As(err, &exit):
		u.t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{command: strings.Join(cmd.Args[1:], " "), stdout: stdout.String(), stderr: stderr.String(),
		code: exitCode(cmd.ProcessState)}
}

// exitCode returns the exit code as a shell shows it.
func exitCode(state *os.ProcessState) int {
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// run runs "rcrun ARGS", which must succeed, and returns what it printed without the last newline.
func (u *user) run(args ...string) string {
	u.t.Helper()
	return u.succeeded(u.try(args...))
}

func (u *user) succeeded(r result) string {
	u.t.Helper()
	if r.code != 0 {
		u.t.Fatalf("rcrun %s: exit code %d\n%s%s", r.command, r.code, r.stdout, r.stderr)
	}
	return r.out()
}

// fails runs "rcrun ARGS", which must end with the exit code and say one sentence with each of the parts.
func (u *user) fails(code int, parts []string, args ...string) {
	u.t.Helper()
	u.failed(u.try(args...), code, parts...)
}

func (u *user) failed(r result, code int, parts ...string) {
	u.t.Helper()
	if r.code != code {
		u.t.Errorf("rcrun %s: exit code %d, want %d\n%s%s", r.command, r.code, code, r.stdout, r.stderr)
	}
	if text := withoutHint(r.stderr); text == "" || strings.Contains(text, "\n") {
		u.t.Errorf("rcrun %s: want one sentence, not\n%s", r.command, r.stderr)
	}
	for _, part := range parts {
		if !strings.Contains(strings.ToLower(r.stderr), strings.ToLower(part)) {
			u.t.Errorf("rcrun %s: want %q in\n%s", r.command, part, r.stderr)
		}
	}
}

// withoutHint returns what a command said before it told how it is called.
func withoutHint(stderr string) string {
	text, hint, found := strings.Cut(strings.TrimSpace(stderr), "\nSee 'rcrun")
	if found && strings.HasSuffix(hint, " --help'.") && !strings.Contains(hint, "\n") {
		stderr, _, _ = strings.Cut(text, "\n\nUsage:  rcrun ")
	}
	return strings.TrimSpace(stderr)
}

// prints runs "rcrun ARGS", which must succeed and print want.
func (u *user) prints(want string, args ...string) {
	u.t.Helper()
	if got := u.run(args...); got != want {
		u.t.Errorf("rcrun %s: printed %q, want %q", strings.Join(args, " "), got, want)
	}
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	patience.Eventually(t, what, condition)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}
