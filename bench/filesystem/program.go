package filesystem

import (
	"fmt"
	"os/exec"
	"strings"
)

// fuseOverlayfs is the name of the subject, and of its binary where no other is given.
const fuseOverlayfs = "fuse-overlayfs"

// program is fuse-overlayfs or what is called as it is.
type program struct {
	layered
	called string
	path   string
}

func (p program) name() string { return p.called }

func (p program) mount(s stack) (*mounted, error) {
	if err := p.prepare(s); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(s.nearestFirst(), ":"), s.upper(), s.work())
	server, err := startServer(exec.Command(p.path, "-f", "-o", options, s.target()))
	if err != nil {
		return nil, err
	}
	if err := server.waitMounted(s.target()); err != nil {
		return nil, err
	}
	return &mounted{root: s.target(), server: server, unmount: func() error { return server.unmount(s.target()) }}, nil
}
