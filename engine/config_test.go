package engine

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/network"
)

func TestMergeCommand(t *testing.T) {
	image := Config{Entrypoint: []string{"/entry"}, Cmd: []string{"default"}}
	for name, c := range map[string]struct {
		entrypoint, cmd []string
		want            []string
	}{
		"nothing given":                      {nil, nil, []string{"/entry", "default"}},
		"command":                            {nil, []string{"mine"}, []string{"/entry", "mine"}},
		"entrypoint drops the image's cmd":   {[]string{"/mine"}, nil, []string{"/mine"}},
		"both":                               {[]string{"/mine"}, []string{"arg"}, []string{"/mine", "arg"}},
		"empty entrypoint keeps image's cmd": {[]string{}, nil, []string{"default"}},
		"an entrypoint of nothing":           {[]string{""}, nil, nil},
		"nothing, and a command":             {[]string{""}, []string{"mine"}, []string{"mine"}},
		"empty entrypoint and command":       {[]string{}, []string{"mine"}, []string{"mine"}},
	} {
		user := Config{Entrypoint: c.entrypoint, Cmd: c.cmd}
		merge(&user, image)
		if got := commandOf(&user); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestMergeRest(t *testing.T) {
	set := func(keys ...string) network.PortSet {
		ports := network.PortSet{}
		for _, key := range keys {
			port, err := network.ParsePort(key)
			if err != nil {
				t.Fatal(err)
			}
			ports[port] = struct{}{}
		}
		return ports
	}
	volumes := map[string]struct{}{"/data": {}}
	user := Config{Env: []string{"A=1", "C"}, Labels: map[string]string{"l": "user"},
		ExposedPorts: set("80/tcp"), WorkingDir: "/mine"}
	merge(&user, Config{Env: []string{"A=2", "B=3", "C=4"}, Labels: map[string]string{"l": "image", "m": "image"},
		ExposedPorts: set("443/tcp"),
		WorkingDir:   "/image", User: "www-data", StopSignal: "SIGQUIT", Hostname: "image", Tty: true,
		Volumes: volumes})
	want := Config{Env: []string{"A=1", "C", "B=3"}, Labels: map[string]string{"l": "user", "m": "image"},
		ExposedPorts: set("80/tcp", "443/tcp"),
		WorkingDir:   "/mine", User: "www-data", StopSignal: "SIGQUIT", Volumes: volumes}
	if diff := cmp.Diff(want, user, cmp.Comparer(func(a, b network.Port) bool { return a == b })); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
}

func TestEnvironment(t *testing.T) {
	c := &Container{Config: Config{Hostname: "h", Env: []string{"PATH=/mine", "A=1", "B"}}}
	want := []string{"PATH=/mine", "A=1", "HOSTNAME=h", "TERM=xterm"}
	if got := c.environment("0", true); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseSecurity(t *testing.T) {
	s, err := parseSecurity([]string{"no-new-privileges", "seccomp=unconfined", "label=disable"})
	if err != nil || !s.noNewPrivileges || !s.seccomp.unconfined {
		t.Errorf("got %+v, %v", s, err)
	}
	s, err = parseSecurity([]string{"seccomp:unconfined", `seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`})
	if err != nil || s.seccomp.unconfined || string(s.seccomp.text) != `{"defaultAction":"SCMP_ACT_ALLOW"}` {
		t.Errorf("of two profiles the last one holds: got %+v, %v", s, err)
	}
	options := []string{"no-new-privileges=maybe", "seccomp=", "seccomp=/does/not/exist", "apparmor=mine", "odd"}
	for _, bad := range options {
		if _, err := parseSecurity([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
