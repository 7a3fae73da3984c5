package main

import "strings"

// absentCommands are Docker's commands that are not here, and what to do instead. Those of containers and images are
// found by their short names, too.
var absentCommands = map[string]string{
	"build": "build the image with another tool and bring it in by load, or make it of a container by commit",
	"cp": "use 'rcrun exec -i CONTAINER tar -xC DIR < FILE.tar', or tar -c to copy out; " +
		"of a container that does not run, 'rcrun export'",
	"pause":   "without a cgroup, rcrun cannot hold up the processes of a container",
	"unpause": "without a cgroup, rcrun cannot hold up the processes of a container",
	"port":    "see 'rcrun ps', or 'rcrun inspect -f \"{{json .NetworkSettings.Ports}}\"'",
	"rename":  "give the container its name when it is created",
	"restart": "use 'rcrun stop CONTAINER && rcrun start CONTAINER'",
	"search":  "look for images on the registry's web site",
	"stats": "without a cgroup, the kernel does not count what a container uses; " +
		"'rcrun inspect -f {{.State.Pid}}' is its first process for ps(1)",
	"top":        "use 'rcrun exec CONTAINER ps', or ps(1) here with the process of 'rcrun inspect -f {{.State.Pid}}'",
	"update":     "create the container again, with other flags",
	"builder":    "images are not built here",
	"buildx":     "images are not built here",
	"compose":    "start each container by 'rcrun run'",
	"context":    "there is no daemon, so this host is the only context",
	"manifest":   "see 'rcrun image inspect' for an image that was pulled",
	"network":    "choose a network with 'rcrun run --network'; none can be made",
	"volume":     "mount a directory with 'rcrun run -v /HOST/PATH:/PATH'",
	"checkpoint": noWay,
	"plugin":     noWay,
	"trust":      noWay,
	"config":     noWay,
	"node":       noWay,
	"secret":     noWay,
	"service":    noWay,
	"stack":      noWay,
	"swarm":      noWay,
}

// noWay says that there is nothing to do instead.
const noWay = "nothing here does the same"

// absent returns what to do instead of a command of Docker's that is not here.
func absent(path string) (instead string, known bool) {
	for _, group := range []string{"container ", "image ", "system "} {
		path = strings.TrimPrefix(path, group)
	}
	instead, known = absentCommands[path]
	return instead, known
}
