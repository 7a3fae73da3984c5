package view

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine"
)

func port(t *testing.T, text string) network.Port {
	t.Helper()
	p, err := network.ParsePort(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSummaryPorts lists what a running container publishes and exposes by the container's port; one that has ended
// serves nothing.
func TestSummaryPorts(t *testing.T) {
	c := &engine.Container{Config: engine.Config{ExposedPorts: network.PortSet{port(t, "9000/tcp"): {},
		port(t, "80/tcp"): {}, port(t, "7000/udp"): {}}}, State: engine.State{
		Status: engine.Running, Ports: network.PortMap{
			port(t, "80/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: "8080"}, {HostPort: "8081"}}}}}
	var got []string
	for _, p := range ports(c) {
		got = append(got, fmt.Sprint(p.IP, " ", p.PublicPort, " ", p.PrivatePort, "/", p.Type))
	}
	want := []string{"0.0.0.0 8081 80/tcp", "127.0.0.1 8080 80/tcp", "invalid IP 0 7000/udp",
		"invalid IP 0 9000/tcp"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	c.State.Status = engine.Exited
	if got := ports(c); len(got) > 0 {
		t.Errorf("a container that has ended has ports: %v", got)
	}
}

func TestSummary(t *testing.T) {
	made := time.Unix(1136073600, 5)
	c := &engine.Container{ID: "abcd", Name: "web", Created: made, ImageID: "1234", ImageName: "nginx:1",
		Config: engine.Config{Cmd: []string{"sleep", "1"}, Labels: map[string]string{"k": "v"}},
		HostConfig: engine.HostConfig{
			HostConfig: container.HostConfig{NetworkMode: "host", Binds: []string{"/srv:/data:ro"}}},
		State: engine.State{Status: engine.Exited, ExitCode: 3, FinishedAt: made.Add(time.Minute)}}
	got := summary(c, made.Add(time.Hour))
	if got.ID != "abcd" || got.Names[0] != "/web" || got.ImageID != "sha256:1234" || got.Image != "nginx:1" ||
		got.Command != "sleep 1" || got.Created != 1136073600 || got.Labels["k"] != "v" || got.ExitCode != 3 ||
		got.State != container.StateExited || got.Status != "Exited (3) 59 minutes ago" {
		t.Errorf("got %+v", got)
	}
	if m := got.Mounts; len(m) != 1 || m[0].Source != "/srv" || m[0].Destination != "/data" || m[0].RW {
		t.Errorf("mounts %+v", m)
	}
	if got.NetworkSettings.Networks["host"] == nil || got.HostConfig.NetworkMode != "host" {
		t.Errorf("networks %v", got.NetworkSettings.Networks)
	}
}

// TestChoose lists what runs; all where that is asked for, by a limit or a state too.
func TestChoose(t *testing.T) {
	var state Filter
	if err := state.Add("status", "exited"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		options ListOptions
		want    string
	}{
		{ListOptions{}, "b"},
		{ListOptions{All: true}, "cba"},
		{ListOptions{Limit: 1}, "c"},
		{ListOptions{Limit: 9}, "cba"},
		{ListOptions{Limit: -1}, "b"},
		{ListOptions{Filter: state}, "a"},
	} {
		list := []*engine.Container{{ID: "c", State: engine.State{Status: engine.Created}},
			{ID: "b", State: engine.State{Status: engine.Running}},
			{ID: "a", State: engine.State{Status: engine.Exited}}}
		got := ""
		for _, c := range test.options.choose(list) {
			got += c.ID
		}
		if got != test.want {
			t.Errorf("%+v: %s, want %s", test.options, got, test.want)
		}
	}
}
