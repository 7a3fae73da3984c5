package view

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine"
)

func TestFilter(t *testing.T) {
	c := &engine.Container{ID: "abcd", Name: "web", ImageName: "nginx", ImageID: "1234",
		Config: engine.Config{Labels: map[string]string{"k": "v"}},
		HostConfig: engine.HostConfig{
			HostConfig: container.HostConfig{NetworkMode: "host", Binds: []string{"/srv:/data"}}},
		State: engine.State{Status: engine.Exited, ExitCode: 3}}
	for _, test := range []struct {
		flags []string
		want  bool
	}{
		{nil, true},
		{[]string{"id=ab"}, true},
		{[]string{"id=b"}, true}, // a regular expression, as the name is
		{[]string{"id=^b"}, false},
		{[]string{"name=^web$"}, true},
		{[]string{"name=^/web$"}, true},
		{[]string{"name=we.$"}, true},
		{[]string{"name=^we$"}, false},
		{[]string{"status=paused"}, false},
		{[]string{"status=paused", "status=exited"}, true},
		{[]string{"exited=3"}, true},
		{[]string{"exited=0"}, false},
		{[]string{"health=none"}, true},
		{[]string{"health=healthy"}, false},
		{[]string{"is-task=true"}, false},
		{[]string{"network=host"}, true},
		{[]string{"network=bridge"}, false},
		{[]string{"volume=/data"}, true},
		{[]string{"volume=/srv"}, true},
		{[]string{"volume=/other"}, false},
		{[]string{"publish=80"}, false}, // it does not run
		{[]string{"ancestor=sha256:12"}, true},
		{[]string{"name=e"}, true},
		{[]string{"name=x", "name=/web"}, true},
		{[]string{"name=x"}, false},
		{[]string{"status=exited"}, true},
		{[]string{"status=running", "status=created"}, false},
		{[]string{"ancestor=nginx"}, true},
		{[]string{"ancestor=12"}, true},
		{[]string{"ancestor=ngin"}, false},
		{[]string{"label=k"}, true},
		{[]string{"label=k=v", "name=web"}, true},
		{[]string{"label=k=w"}, false},
		{[]string{"label=k", "label=l"}, false},
	} {
		f, err := filterOf(test.flags)
		if err != nil || f.matches(c) != test.want {
			t.Errorf("%q: %v, %v", test.flags, f.matches(c), err)
		}
	}
	filters := []string{"odd=1", "status=odd", "name=(", "exited=x", "health=odd", "publish=http", "is-task=2"}
	for _, bad := range filters {
		if _, err := filterOf([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestFilterPorts asks for published ports by the host's number, and for exposed ones by the container's.
func TestFilterPorts(t *testing.T) {
	c := &engine.Container{Config: engine.Config{ExposedPorts: network.PortSet{port(t, "9000/tcp"): {}}},
		State: engine.State{Status: engine.Running, Ports: network.PortMap{port(t, "80/tcp"): {{HostPort: "8080"}},
			port(t, "53/udp"): {{HostPort: "5353"}}}}}
	for flag, want := range map[string]bool{"publish=8080": true, "publish=80": false, "publish=8000-8100/tcp": true,
		"publish=8080/udp": false,
		"publish=5353/udp": true, "expose=80": true, "expose=8080": false, "expose=9000/tcp": true,
		"expose=53/udp": true} {
		if f, err := filterOf([]string{flag}); err != nil || f.matches(c) != want {
			t.Errorf("%s: %v, %v", flag, f.matches(c), err)
		}
	}
}

// filterOf makes a filter of pairs key=value.
func filterOf(pairs []string) (f Filter, err error) {
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		if err := f.Add(key, value); err != nil {
			return f, err
		}
	}
	return f, nil
}
