package tests

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// diskUsage returns the bytes that the user's data takes.
func (u *user) diskUsage() int64 {
	u.t.Helper()
	var sum int64
	err := filepath.WalkDir(u.path("home", ".local"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return sum
}

// TestManyAtOnce starts 20 containers of one image at once.
func TestManyAtOnce(t *testing.T) {
	const count, written = 20, 64 << 10
	u := newUserWithImage(t)
	before := u.diskUsage()
	results := make([]result, count)
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			results[i] = u.try("run", "-d", "--name", fmt.Sprintf("c%d", i), "-e", fmt.Sprintf("N=%d", i), "bb", "sh",
				"-c",
				fmt.Sprintf("head -c %d /dev/urandom >/own; echo $N >/etc/secret; echo ready; sleep 1000", written))
		})
	}
	all.Wait()
	for i, r := range results {
		if r.code != 0 {
			t.Errorf("container %d: exit code %d\n%s", i, r.code, r.stderr)
		}
	}
	if running := len(strings.Fields(u.run("ps", "-q"))); running != count {
		t.Fatalf("%d of %d containers run", running, count)
	}
	for i := range count {
		name := fmt.Sprintf("c%d", i)
		eventually(t, "the container is ready", func() bool { return u.run("logs", name) == "ready" })
		u.prints(fmt.Sprint(i), "exec", name, "cat", "/etc/secret")
	}
	// Each has its own changes and some kilobytes of state, but no copy of the image, whose program alone has 2 MB.
	if grown := u.diskUsage() - before; grown < count*written || grown > count*(written+256<<10) {
		t.Errorf("%d containers that wrote %d bytes each took %d bytes of disk", count, written, grown)
	}
	var names []string
	for i := range count {
		names = append(names, fmt.Sprintf("c%d", i))
	}
	u.run(append([]string{"rm", "-f"}, names...)...)
	u.prints("", "ps", "-aq")
	u.noLeftovers()
	if grown := u.diskUsage() - before; grown > 256<<10 {
		t.Errorf("the removed containers left %d bytes on disk", grown)
	}
}

// TestTwoUsers runs rcrun as another user of the machine: one of the caller's subordinate ids, in a user namespace that
// maps it. They do not see each other.
func TestTwoUsers(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "mine", "bb", "sleep", "1000")
	if err := os.Chmod(u.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tar := u.path("image.tar")
	if err := os.WriteFile(tar, busyboxTree(t), 0o644); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`mkdir -m 700 %[1]s/other; chown 5000:5000 %[1]s/other
trap 'rm -rf %[1]s/other' EXIT
setpriv --reuid 5000 --regid 5000 --clear-groups env HOME=%[1]s/other XDG_RUNTIME_DIR= TMPDIR=%[1]s/other sh -ec '
$RCRUN ps -aq; $RCRUN images -q
! ls %[1]s/home 2>/dev/null
$RCRUN import %[2]s bb >/dev/null
$RCRUN run -d --name mine bb sleep 1001 >/dev/null
cat /proc/$($RCRUN inspect -f "{{.State.Pid}}" mine)/uid_map
$RCRUN ps --format "{{.Names}} {{.Command}}"
! kill -9 %[3]d 2>/dev/null
$RCRUN rm -f mine'`, u.dir, tar, u.inspect("mine").State.Pid)
	r := u.finish(u.command("unshare", "--user", "--map-root-user", "--map-auto", "sh", "-ec", script))
	lines := strings.Split(r.out(), "\n")
	if r.code != 0 || len(lines) != 3 || strings.Fields(lines[0])[1] != "5000" ||
		!strings.Contains(lines[1], "sleep 1001") || lines[2] != "mine" {
		t.Errorf("exit code %d, the other user sees %q\n%s", r.code, lines, r.stderr)
	}
	u.prints("still there", "exec", "mine", "echo", "still there")
}
