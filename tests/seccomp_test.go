package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/profiles/seccomp"
	"golang.org/x/sys/unix"
)

// probeEnv makes a copy of the tests in a container try system calls that a default container may not make.
const probeEnv = "RCRUN_PROBE"

// probeCalls prints what each call came to. Arguments are such that the kernel refuses them if the filter does not.
func probeCalls() int {
	for _, call := range []struct {
		name   string
		number uintptr
		args   [3]uintptr
	}{
		{"unshare", unix.SYS_UNSHARE, [3]uintptr{unix.CLONE_NEWUSER}},
		{"bpf", unix.SYS_BPF, [3]uintptr{9999}},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [3]uintptr{}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [3]uintptr{}},
	} {
		_, _, errno := syscall.Syscall(call.number, call.args[0], call.args[1], call.args[2])
		fmt.Println(call.name, unix.ErrnoName(errno))
	}
	return 0
}

// probe runs the calls in a container with the options.
func (u *user) probe(options ...string) string {
	u.t.Helper()
	self, err := os.Executable()
	if err != nil {
		u.t.Fatal(err)
	}
	args := append([]string{"run", "--rm", "-e", probeEnv + "=1", "-v", self + ":/probe:ro"}, options...)
	return u.run(append(args, "bb", "/probe")...)
}

// TestSeccompProfile gives Docker's own profile as a file, whose rules depend on the container's capabilities.
func TestSeccompProfile(t *testing.T) {
	u := newUserWithImage(t)
	text, err := json.Marshal(seccomp.DefaultProfile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(u.path("home", "docker.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := "unshare EPERM\nbpf EPERM\nperf_event_open EPERM\nopen_by_handle_at EPERM"
	profile := "seccomp=docker.json" // from the command's working directory
	if got := u.probe("--security-opt", profile); got != refused {
		t.Errorf("with Docker's profile: %s", got)
	}
	const podmans = "/usr/share/containers/seccomp.json" // which lets containers make namespaces
	if _, err := os.Stat(podmans); err == nil {
		contains(t, u.probe("--security-opt", "seccomp="+podmans),
			"bpf EPERM\nperf_event_open EPERM\nopen_by_handle_at EPERM")
	}
	caps := []string{"--cap-add", "SYS_ADMIN,BPF,PERFMON,DAC_READ_SEARCH", "--security-opt"}
	free := u.probe(append(caps, "seccomp=unconfined")...)
	if strings.Contains(free, "unshare EPERM") || strings.Contains(free, "open_by_handle_at EPERM") {
		t.Fatalf("without a profile the kernel gives other errors than a filter does: %s", free)
	}
	if got := u.probe(append(caps, profile)...); got != free {
		t.Errorf("with Docker's profile and the capabilities that its rules name:\n%s\nwithout a profile:\n%s", got,
			free)
	}
	if got := u.probe("--privileged", "--security-opt", "seccomp=builtin", "--cap-add", "ALL"); got != free {
		t.Errorf("with the built-in profile and all capabilities:\n%s\nwithout a profile:\n%s", got, free)
	}
}

// TestSeccompForms gives profiles in other forms, and such as are not to be taken.
func TestSeccompForms(t *testing.T) {
	u := newUserWithImage(t)
	write := func(name, text string) {
		if err := os.WriteFile(u.path("home", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const denyMkdir = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{%s,"action":"SCMP_ACT_ERRNO"}]}`
	old := fmt.Sprintf(denyMkdir, `"name":"mkdir"`)
	write("old.json", old)
	write("oci.json", fmt.Sprintf(denyMkdir, `"names":["mkdir"]`))
	mkdir := []string{"bb", "sh", "-c", "mkdir /new 2>/dev/null; echo $?"}
	for _, profile := range []string{"old.json", "./oci.json", u.path("home", "old.json"), old} {
		u.prints("1", append([]string{"run", "--rm", "--security-opt", "seccomp=" + profile}, mkdir...)...)
	}
	u.prints("0", append([]string{"run", "--rm", "--security-opt", "seccomp=unconfined"}, mkdir...)...)

	// The container keeps the profile, not the name of its file.
	u.run(append([]string{"create", "--name", "kept", "--security-opt", "seccomp=old.json"}, mkdir...)...)
	write("old.json", "{}")
	u.prints("1", "start", "-a", "kept")
	u.prints("seccomp="+old, "inspect", "-f", "{{index .HostConfig.SecurityOpt 0}}", "kept")

	u.fails(125, []string{"defaultAction"}, "run", "--rm", "--security-opt", "seccomp=old.json", "bb", "true")
	u.fails(125, []string{"nosuch.json", "no such file"}, "run", "--rm", "--security-opt", "seccomp=nosuch.json", "bb",
		"true")
	write("odd.json", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","include":{}}]}`)
	u.fails(125, []string{"odd.json", `unknown field "include"`}, "create", "--security-opt", "seccomp=odd.json", "bb",
		"true")
}
