package filesystem

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// procDir is where proc is mounted, in the working directory.
const procDir = "proc"

// patience bounds how long a server may take to mount, and to end after the unmount.
const patience = 10 * time.Second

// server is a process that serves a mount, and ends when it is unmounted.
type server struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{} // closed when it has ended
	err  error         // how, once done is closed
}

// startServer starts cmd.
func startServer(cmd *exec.Cmd) (*server, error) {
	s := &server{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start filesystem server: %w", err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// waitMounted waits until the server has mounted target and answers.
func (s *server) waitMounted(target string) error {
	deadline := time.Now().Add(patience)
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(target, &fs)
		if err == nil && fs.Type == unix.FUSE_SUPER_MAGIC {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended instead of mounting: %w: %s", s.cmd.Path, errors.Join(s.err, err),
				s.log.Bytes())
		case <-time.After(50 * time.Microsecond):
		}
		if time.Now().After(deadline) {
			s.kill()
			return fmt.Errorf("%s did not mount within %v: %s", s.cmd.Path, patience, s.log.Bytes())
		}
	}
}

// unmount unmounts target and waits for the server's end.
func (s *server) unmount(target string) error {
	if err := unmount(target); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("%s outlived its mount", s.cmd.Path)
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill() // an error means that it has ended
	<-s.done
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s*(\d+) kB$`)

// resident returns how much memory the server uses, in bytes.
func (s *server) resident() (int64, error) {
	path := filepath.Join(procDir, strconv.Itoa(s.cmd.Process.Pid), "status")
	status, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("measure memory: %w", err)
	}
	found := residentLine.FindSubmatch(status)
	if found == nil {
		return 0, fmt.Errorf("measure memory: %s has no VmRSS", path)
	}
	kib, err := strconv.ParseInt(string(found[1]), 10, 64)
	return kib << 10, err
}
