package unpack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// registry is docker-registry with an image, on the loopback interface.
type registry struct {
	process *exec.Cmd
	image   string // what the image is called there
}

// startRegistry returns nil where docker-registry is not installed. Its files are in a directory that it makes in dir.
func startRegistry(dir string) (_ *registry, err error) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return nil, nil
	}
	address, err := freeAddress()
	if err != nil {
		return nil, fmt.Errorf("start a registry: %w", err)
	}
	config := filepath.Join(dir, "registry.yml")
	content := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: "+
		"{rootdirectory: %q}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "registry"), address)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, fmt.Errorf("start a registry: %w", err)
	}
	r := &registry{process: exec.Command(program, "serve", config), image: address + "/bench:1"}
	r.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.process.Start(); err != nil {
		return nil, fmt.Errorf("start a registry: %w", err)
	}
	for range 100 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return r, conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("start a registry: %s does not answer at %s", program, address), r.close())
}

// freeAddress returns an address that no server listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (r *registry) close() error {
	err := r.process.Process.Kill()
	_ = r.process.Wait() // the error is that it was killed
	return err
}
