package view

import (
	"testing"

	"github.com/rcrun/rcrun/engine"
)

func TestParseRelease(t *testing.T) {
	got := parseRelease("NAME=\"A B\"\nVERSION_ID='12'\n# no\nPRETTY_NAME=X\n")
	if got["NAME"] != "A B" || got["VERSION_ID"] != "12" || got["PRETTY_NAME"] != "X" {
		t.Errorf("got %q", got)
	}
}

func TestInfoCounts(t *testing.T) {
	var info Info
	info.count([]*engine.Container{{State: engine.State{Status: engine.Running}},
		{State: engine.State{Status: engine.Created}},
		{State: engine.State{Status: engine.Paused}}, {State: engine.State{Status: engine.Exited}}})
	if info.Containers != 4 || info.ContainersPaused != 1 || info.ContainersRunning != 1 ||
		info.ContainersStopped != 2 {
		t.Errorf("got %+v", info.Info)
	}
}
