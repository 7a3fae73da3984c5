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

// program is a filesystem that a program serves with the options of fuse-overlayfs.
type program struct {
	layered
	called  string
	path    string
	arg0    string // argv[0], which tells the program what to be
	options string // besides the directories
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
