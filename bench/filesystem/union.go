package filesystem

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/rcrun/rcrun/fusefs"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// union is this module's filesystem as the engine runs it: owners are metadata, and what mounts does not serve.
type union struct{ layered }

func (union) name() string { return "rcrun" }

func (u union) mount(s stack) (*mounted, error) {
	if err := u.prepare(s); err != nil {
		return nil, err
	}
	options := unionmount.Options{Upper: s.upper(), Work: s.work()}
	for _, dir := range s.nearestFirst() {
		options.Lowers = append(options.Lowers, unionmount.Layer{Dir: dir, Ownership: unionmount.CallerOwned})
	}
	encoded, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("encode layers: %w", err)
	}
	device, err := mountDevice(s.target())
	if err != nil {
		return nil, err
	}
	server, err := startServer(&exec.Cmd{
		Path: "/proc/self/exe", Args: []string{serveStage, string(encoded)}, ExtraFiles: []*os.File{device},
	})
	device.Close() // as long as one is open, nobody would learn of the server's death
	if err == nil {
		err = server.waitMounted(s.target())
	}
	if err != nil {
		return nil, errors.Join(err, unmount(s.target()))
	}
	return &mounted{root: s.target(), server: server, unmount: func() error { return server.unmount(s.target()) }}, nil
}

// mountDevice mounts a FUSE connection that is still to be served.
func mountDevice(target string) (*os.File, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	device := os.NewFile(uintptr(fd), "/dev/fuse")
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd)
	if err := unix.Mount("rcrun", target, "fuse.rcrun", unix.MS_NODEV, options); err != nil {
		device.Close()
		return nil, fmt.Errorf("mount %s: %w", target, err)
	}
	return device, nil
}

// serveMain is the stage that serves a union: its layers are the argument, the connection is fd 3.
func serveMain() error {
	var options unionmount.Options
	if err := json.Unmarshal([]byte(os.Args[1]), &options); err != nil {
		return fmt.Errorf("decode layers: %w", err)
	}
	u, err := unionmount.Open(options)
	if err != nil {
		return err
	}
	defer u.Close()
	return fusefs.Serve(os.NewFile(3, "/dev/fuse"), u, fusefs.Options{})
}
