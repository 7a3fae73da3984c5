package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serveNothing mounts a filesystem on the directory in its argument, and answers no request to it.
func serveNothing() {
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev.Fd())
		err = unix.Mount("nothing", os.Args[1], "fuse", 0, options)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready")
	time.Sleep(time.Hour)
}

// stuck starts a container with a filesystem on /work that answers no request.
func stuck(t *testing.T) box {
	t.Helper()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("no filesystems in user space, which scripts/setup allows: %v", err)
	}
	fuse.Close()
	ready := filepath.Join(t.TempDir(), "ready")
	out, err := os.Create(ready)
	must(t, err)
	defer out.Close()
	b := run(t, nil, func(c *Config) {
		attacked(t, c, "hang", "/work")
		allCapabilities(t, c)
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount("/dev/fuse", "/dev/fuse"))
		c.Stdout = out
	})
	eventually(t, "the container has mounted", func() bool {
		text, err := os.ReadFile(ready)
		must(t, err)
		if len(text) > 0 && string(text) != "ready\n" {
			t.Fatalf("the container cannot mount: %s", text)
		}
		return len(text) > 0
	})
	return b
}

// A container can serve the filesystem of a working directory and not answer. An exec there ends with its context, and
// leaves nothing behind.
func TestExecCancelled(t *testing.T) {
	b := stuck(t)
	process := DefaultSpec("true").Process
	process.Cwd = "/work"
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		for len(children(t, b.sandbox.proc.Pid)) < 2 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel(enough)
	}()
	if p, err := b.Exec(ctx, ExecConfig{Process: process}); !errors.Is(err, enough) {
		t.Fatalf("exec in a directory without an answer: %v, %v", p, err)
	}
	eventually(t, "the process is gone", func() bool { return len(children(t, b.sandbox.proc.Pid)) == 1 })
	p, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("/bin/busybox", "true").Process})
	must(t, err)
	defer p.Close()
	if status, err := p.Wait(t.Context()); err != nil || status.Code != 0 {
		t.Errorf("another exec: %+v, %v", status, err)
	}
}

// children lists the child processes of a process that are not zombies.
func children(t *testing.T, pid int) (pids []string) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	must(t, err)
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread that has ended has none
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

func TestCancelledBeforehand(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	b := run(t, []string{"sleep", "1000"}, nil)
	if _, err := b.Wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	config := ExecConfig{Process: DefaultSpec("true").Process}
	if _, err := b.Exec(cancelled, config); !errors.Is(err, context.Canceled) {
		t.Errorf("exec: %v", err)
	}
	if err := b.Sync(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("sync: %v", err)
	}
	must(t, b.Signal(syscall.SIGKILL))
	if status, err := b.Wait(t.Context()); err != nil || status.Code != 137 {
		t.Errorf("ended with %+v, %v", status, err)
	}
	if status, err := b.Wait(cancelled); err != nil || status.Code != 137 {
		t.Errorf("wait for what has ended: %+v, %v", status, err)
	}
}

func TestStartCancelled(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	b := create(t, []string{"sleep", "1000"}, nil)
	if err := b.Start(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("start: %v", err)
	}
	if status, err := b.Wait(t.Context()); err != nil || status.Code != 137 {
		t.Errorf("the container ended with %+v, %v", status, err)
	}
}

func TestCreateCancelledWithNetwork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var pid int
	_, err := Create(ctx, newConfig(t, []string{"true"}, func(c *Config) {
		c.Network = func(ctx context.Context, p int) error { pid = p; cancel(); <-ctx.Done(); return ctx.Err() }
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("create: %v", err)
	}
	checkGone(t, pid)
}
