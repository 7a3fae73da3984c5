package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNetworkComesBack kills slirp4netns: the container gets its network again, with its published ports; where it
// cannot, inspect and ps say so.
func TestNetworkComesBack(t *testing.T) {
	u := newUserWithImage(t)
	port := freePort(t)
	args := append([]string{"run", "-d", "--name", "c1", "-p", fmt.Sprintf("127.0.0.1:%d:80", port), "-p",
		fmt.Sprintf("%d:9999/udp", port)}, insider("echo")...)
	u.run(append(args, "--entrypoint", "sh", "bb", "-c", "/insider 9999 & nc -ll -p 80 -e echo hello")...)
	u.dial("127.0.0.1", port)
	u.killSlirp()
	if got := u.dial("127.0.0.1", port); got != "hello\n" {
		t.Errorf("the published TCP port answers %q", got)
	}
	if got := u.ask("127.0.0.1", port, "x"); got != "10.0.2.100 x" {
		t.Errorf("the published UDP port answers %q", got)
	}
	contains(t, u.run("exec", "c1", "ip", "route"), "default via 10.0.2.2")
	eventually(t, "nothing is wrong any more", func() bool { return u.inspect("c1").State.Error == "" })

	// Somebody else takes the port in the moment in which nobody has it.
	taken := u.takePort(port)
	eventually(t, "inspect and ps say what is wrong", func() bool {
		return strings.Contains(u.inspect("c1").State.Error, "already allocated") &&
			strings.Contains(u.run("ps"), "(no network)")
	})
	taken.Close()
	if got := u.dial("127.0.0.1", port); got != "hello\n" {
		t.Errorf("the published TCP port answers %q", got)
	}
	eventually(t, "nothing is wrong any more", func() bool { return !strings.Contains(u.run("ps"), "no network") })
	u.run("rm", "-f", "c1")
}

// takePort takes a published port away from the user's container, in a moment in which its slirp4netns was killed.
func (u *user) takePort(port int) (taken net.Listener) {
	u.t.Helper()
	eventually(u.t, "the port is taken while nobody has it", func() bool {
		for _, p := range u.slirps() {
			p.kill(u.t)
		}
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		taken = l
		return err == nil
	})
	return taken
}

// killSlirp kills a slirp4netns of the user's, and returns when there is another one in its place.
func (u *user) killSlirp() {
	u.t.Helper()
	before := u.slirps()
	if len(before) == 0 {
		u.t.Fatal("there is no slirp4netns")
	}
	before[0].kill(u.t)
	eventually(u.t, "another slirp4netns runs", func() bool {
		now := u.slirps()
		return len(now) == len(before) &&
			!slices.ContainsFunc(now, func(p process) bool { return p.pid == before[0].pid })
	})
}

// slirps returns the user's slirp4netns processes.
func (u *user) slirps() (found []process) {
	u.t.Helper()
	monitors := u.processes(monitorProcess)
	for _, pid := range family() {
		if program, _, _ := strings.Cut(commandLine(pid), " "); filepath.Base(program) != "slirp4netns" {
			continue
		}
		parent := parentOf(pid)
		if slices.ContainsFunc(monitors, func(m process) bool { return m.pid == parent }) {
			found = append(found, newProcess(pid))
		}
	}
	return found
}

// TestSlirpWithoutSandbox has a slirp4netns that cannot be confined as it should.
func TestSlirpWithoutSandbox(t *testing.T) {
	u := newUserWithImage(t)
	real, err := exec.LookPath("slirp4netns")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncase \"$*\" in *--enable-sandbox*) echo no sandbox here >&2; exit 1 ;; esac\nexec " + real +
		" \"$@\"\n"
	if err := errors.Join(os.Mkdir(u.path("bin"), 0o700), os.WriteFile(u.path("bin", "slirp4netns"), []byte(script),
		0o700)); err != nil {
		t.Fatal(err)
	}
	u.setenv("PATH", u.path("bin")+":"+os.Getenv("PATH"))
	r := u.try("run", "--rm", "bb", "cat", "/sys/class/net/eth0/operstate")
	if r.code != 0 || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	contains(t, r.stderr, "warning: slirp4netns runs without a sandbox", "no sandbox here")
}
