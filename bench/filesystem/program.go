package filesystem

import (
	"fmt"
	"os/exec"
	"strings"
)

// The names of the subjects that are programs.
const (
	fuseOverlayfs = "fuse-overlayfs"
	ours          = "rcrun"       // with owners as they are on the disk, as fuse-overlayfs has them
	oursStore     = "rcrun-store" // with owners as metadata and indexes, as the engine has them
)

// program is fuse-overlayfs or what is called as it is.
type program struct {
	layered
	called  string
	path    string
	arg0    string // by which the program knows what it is
	options string // beside the directories
}

// programs returns those that are installed.
func programs(o Options) []subject {
	all := []program{
		{called: fuseOverlayfs, path: o.FuseOverlayfs, arg0: fuseOverlayfs},
		{called: ours, path: o.Rcrun, arg0: "fuse-rcrun"},
		{called: oursStore, path: o.Rcrun, arg0: "fuse-rcrun", options: ",ownership=caller"},
	}
	var found []subject
	for _, p := range all {
		if path, err := exec.LookPath(p.path); err == nil {
			p.path = path
			found = append(found, p)
		}
	}
	return found
}

func (p program) name() string { return p.called }

func (p program) mount(s stack) (*mounted, error) {
	if err := p.prepare(s); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s%s",
		strings.Join(s.nearestFirst(), ":"), s.upper(), s.work(), p.options)
	if p.called != fuseOverlayfs && s.options != "" {
		options += "," + s.options
	}
	server, err := startServer(&exec.Cmd{Path: p.path, Args: []string{p.arg0, "-f", "-o", options, s.target()}})
	if err != nil {
		return nil, err
	}
	if err := server.waitMounted(s.target()); err != nil {
		return nil, err
	}
	return &mounted{root: s.target(), server: server, unmount: func() error { return server.unmount(s.target()) }}, nil
}
