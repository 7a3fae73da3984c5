package tests

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestExecInStuckDirectory starts a process in a directory whose filesystem the container serves without ever
// answering. The process ends with its client, and the container goes on.
func TestExecInStuckDirectory(t *testing.T) {
	u := newUserWithImage(t)
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("no filesystems in user space, which scripts/setup allows: %v", err)
	}
	dev.Close()
	const script = `mkdir /stuck; exec 3<>/dev/fuse
		mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 nothing /stuck && echo mounted; exec sleep 1000`
	u.run("run", "-d", "--privileged", "--network", "none", "-v", "/dev/fuse:/dev/fuse", "--name", "c1",
		"bb", "sh", "-c", script)
	eventually(t, "the filesystem is mounted", func() bool { return strings.Contains(u.run("logs", "c1"), "mounted") })
	processes := func() int {
		n, err := strconv.Atoi(strings.TrimSpace(u.run("exec", "c1", "sh", "-c", "set -- /proc/[0-9]*; echo $#")))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := processes()
	client := u.cmd("exec", "-w", "/stuck", "c1", "true")
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process waits in the directory", func() bool { return processes() == before+1 })
	client.Process.Kill()
	client.Wait() // it was killed
	eventually(t, "the process has ended", func() bool { return processes() == before })
	u.run("rm", "-f", "c1")
	u.noLeftovers()
}
