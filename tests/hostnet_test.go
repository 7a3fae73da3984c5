package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestHostNetworkNames checks that a container in the host's network has the host's names.
func TestHostNetworkNames(t *testing.T) {
	u := newUserWithImage(t)
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	u.prints(name+"\n"+name, "run", "--rm", "--network", "host", "bb", "sh", "-c", "hostname; cat /etc/hostname")
	u.prints(strings.TrimSuffix(string(hosts), "\n"), "run", "--rm", "--network", "host", "bb", "cat", "/etc/hosts")
	out := u.run("run", "--rm", "--network", "host", "--hostname", "mine", "--add-host", "db:10.1.2.3", "bb", "sh",
		"-c", "hostname; cat /etc/hosts")
	contains(t, out, "mine\n", string(hosts), "10.1.2.3\tdb", "127.0.1.1\tmine")
	r := u.try("run", "--rm", "--network", "host", "-p", "8080:80", "bb", "echo", "runs")
	if u.succeeded(r) != "runs" ||
		r.stderr != "rcrun: warning: Published ports are discarded when using host network mode\n" {
		t.Errorf("%+v", r)
	}
	u.run("create", "--name", "c1", "--network", "host", "-p", "8080:80", "bb")
	u.prints(name, "inspect", "-f", "{{.Config.Hostname}}", "c1")
	u.prints("map[]", "inspect", "-f", "{{.HostConfig.PortBindings}}", "c1")
}

// TestProcessNames checks that the processes of a container are found by name, and that its own keep theirs.
func TestProcessNames(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--init", "--name", "c1", "bb", "sleep", "1000")
	reaper := process{pid: u.inspect("c1").State.Pid}
	if comm := reaper.comm(); comm != "rcrun-init" {
		t.Errorf("the reaper is called %q", comm)
	}
	for _, name := range []string{monitorProcess, fuseProcess, sandboxProcess} {
		found := u.processes(name)
		if len(found) == 0 {
			t.Errorf("there is no %s", name)
		}
		for _, p := range found {
			if comm := p.comm(); comm != name && p.pid != reaper.pid {
				t.Errorf("%s is called %q", name, comm)
			}
		}
	}
	contains(t, u.run("exec", "c1", "cat", "/proc/self/comm"), "cat")
	for _, p := range u.inside("sleep 1000") {
		if comm := p.comm(); comm != "sleep" {
			t.Errorf("the payload is called %q", comm)
		}
	}
	u.run("rm", "-f", "c1")
}

func (p process) comm() string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.pid))
	return strings.TrimSpace(string(text))
}

// TestImageVolumesAndHealth checks what is made of VOLUME and HEALTHCHECK: a directory, and one sentence on the rest.
func TestImageVolumesAndHealth(t *testing.T) {
	u := newUser(t)
	u.importImage("vol", busyboxTree(t), "-c", "CMD sh", "-c", "VOLUME /data/deep", "-c", "VOLUME /home/alice", "-c",
		"VOLUME /var/../link/x",
		"-c", "HEALTHCHECK CMD true")
	r := u.try("run", "--name", "c1", "vol", "sh", "-c",
		"stat -c '%F %a %u' /data/deep /home/alice; echo x >/data/deep/f; cat /data/deep/f")
	want := "directory 755 0\n" + u.run("run", "--rm", "--entrypoint", "stat", "vol", "-c", "%F %a %u",
		"/home/alice") + "\nx"
	if u.succeeded(r) != want {
		t.Errorf("printed %q, want %q", r.out(), want)
	}
	if strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("warned %q", r.stderr)
	}
	contains(t, r.stderr, "warning", "/data/deep, /home/alice", "-v", "health check")
	u.prints("A /data\nA /data/deep\nA /data/deep/f", "diff", "c1")
	r = u.try("run", "--rm", "-v", u.path("tmp")+":/data/deep", "--tmpfs", "/home/alice", "--tmpfs", "/link/x", "vol",
		"true")
	u.succeeded(r)
	contains(t, r.stderr, "health check")
	if strings.Contains(r.stderr, "volume") {
		t.Errorf("warned of volumes on which something is mounted: %q", r.stderr)
	}
	u.prints("[CMD-SHELL true]", "inspect", "-f", "{{.Config.Healthcheck.Test}}", "c1")
	contains(t, u.run("inspect", "-f", "{{json .Config.Volumes}}", "c1"), `"/data/deep":{}`)
}
