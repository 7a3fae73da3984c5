package runtime

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func specWithCaps(caps ...string) *specs.Spec {
	spec := DefaultSpec()
	spec.Process.Capabilities.Bounding = append(spec.Process.Capabilities.Bounding, caps...)
	return spec
}

// TestLoadSeccompIsDefault reads Docker's own profile from a file: it means the same as the built-in one.
func TestLoadSeccompIsDefault(t *testing.T) {
	text, err := json.Marshal(seccomp.DefaultProfile())
	must(t, err)
	for _, caps := range [][]string{nil, {"CAP_SYS_ADMIN"}, {"CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_BPF"}} {
		want, err := DefaultSeccomp(specWithCaps(caps...))
		must(t, err)
		got, err := LoadSeccomp(text, specWithCaps(caps...))
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with %v (-built in +read):\n%s", caps, diff)
		}
	}
}

// callNames are the calls that the rules of an evaluated profile name.
func callNames(profile *specs.LinuxSeccomp) string {
	var names []string
	for _, rule := range profile.Syscalls {
		names = append(names, rule.Names...)
	}
	return strings.Join(names, " ")
}

func TestLoadSeccompConditions(t *testing.T) {
	rules := `{"defaultAction":"SCMP_ACT_ERRNO",
		"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[
		{"names":["always"],"action":"SCMP_ACT_ALLOW","comment":"none"},
		{"names":["admin"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
		{"names":["noadmin"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}},
		{"names":["both"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}},
		{"names":["here"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64","arm64"]}},
		{"names":["elsewhere"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390x"]}},
		{"names":["nothere"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["amd64","arm64"]}},
		{"names":["old"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"3.0"}},
		{"names":["future"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.0"}},
		{"names":["nofuture"],"action":"SCMP_ACT_ALLOW","excludes":{"minKernel":"99.0"}},
		{"name":"single","action":"SCMP_ACT_ALLOW"}]}`
	for _, test := range []struct {
		caps []string
		want string
	}{
		{nil, "always noadmin here old nofuture single"},
		{[]string{"CAP_SYS_ADMIN"}, "always admin here old nofuture single"},
		{[]string{"CAP_SYS_ADMIN", "CAP_BPF"}, "always admin both here old nofuture single"},
	} {
		profile, err := LoadSeccomp([]byte(rules), specWithCaps(test.caps...))
		must(t, err)
		expect(t, "calls", callNames(profile), test.want)
	}
}

// TestLoadSeccompErrors reads errors by name, which podman's profiles have besides the numbers.
func TestLoadSeccompErrors(t *testing.T) {
	const text = `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","defaultErrnoRet":1,"syscalls":[
		{"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"EAGAIN"},
		{"names":["b"],"action":"SCMP_ACT_ERRNO","errnoRet":7}]}`
	profile, err := LoadSeccomp([]byte(text), DefaultSpec())
	must(t, err)
	got := []uint{*profile.DefaultErrnoRet, *profile.Syscalls[0].ErrnoRet, *profile.Syscalls[1].ErrnoRet}
	if diff := cmp.Diff([]uint{38, 11, 7}, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestLoadSeccompRefuses(t *testing.T) {
	const allow = `{"defaultAction":"SCMP_ACT_ALLOW"`
	rule := func(text string) string { return allow + `,"syscalls":[` + text + `]}` }
	for text, part := range map[string]string{
		`{`:  "unexpected",
		`{}`: "defaultAction",
		`{"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`: "defaultAction",

		allow + `} {}`:                  "follows",
		allow + `,"syscals":[]}`:        "syscals",
		rule(`{"names":["a"]}`):         "no action",
		rule(`null`):                    "no action",
		allow + `,"listenerPath":"/s"}`: "listener",

		rule(`{"names":["a"],"action":"SCMP_ACT_KILL","include":{}}`):                   "include",
		rule(`{"names":["a"],"action":"SCMP_ACT_KILL","includes":{"cap":["CAP_BPF"]}}`): "cap",

		rule(`{"names":["a"],"name":"a","action":"SCMP_ACT_KILL"}`): "both 'name' and 'names'",

		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EODD"}`:                                    "EODD",
		allow + `,"architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}`: "archMap",
	} {
		if _, err := LoadSeccomp([]byte(text), DefaultSpec()); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, want %q", text, err, part)
		}
	}
}
