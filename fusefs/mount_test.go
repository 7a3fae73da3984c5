package fusefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/unionmount"
)

// A mounted test runs in two processes, as a container does: the test process serves from the host's user namespace,
// and a child of it, the same test re-executed in a user and mount namespace of its own, mounts and does the file
// operations. The child's body tells them apart by childEnv.
const childEnv = "RCRUN_MOUNTED_TEST"

const (
	stageUnmapped = "unmapped" // waits for its id maps
	stageMapped   = "mapped"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == stageUnmapped {
		if err := becomeMapped(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// becomeMapped waits for the id maps and executes the test again, which by then is root and gets all capabilities.
func becomeMapped() error {
	var b [1]byte
	if _, err := io.ReadFull(os.NewFile(4, "maps"), b[:]); err != nil {
		return fmt.Errorf("wait for id maps: %w", err)
	}
	unix.CloseOnExec(4)
	if _, err := unix.FcntlInt(3, unix.F_SETFD, 0); err != nil {
		return err
	}
	if err := os.Setenv(childEnv, stageMapped); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// mounted is a union to be mounted for a test.
type mounted struct {
	opts unionmount.Options
	dir  string // holds the layers and the mount point
	// check, if not nil, runs in the serving process after the body.
	check  func(t *testing.T, m *mounted, c *Counters)
	tuning Tuning
	// manyIDs skips the test where the child has but one id.
	manyIDs bool
}

func (m *mounted) upper() string { return m.opts.Upper }

// newMounted returns a union of an empty upper over the given number of lowers, which the test may fill: they are
// m.lower(0), the nearest, and so on. In the child it only knows their names.
func newMounted(t *testing.T, lowers int) *mounted {
	m := &mounted{dir: os.Getenv(childEnv + "_DIR")}
	if m.dir == "" {
		m.dir = t.TempDir()
	}
	m.opts = unionmount.Options{Upper: filepath.Join(m.dir, "upper"), Work: filepath.Join(m.dir, "work")}
	for i := range lowers {
		m.opts.Lowers = append(m.opts.Lowers, unionmount.Layer{Dir: m.lower(i), Ownership: unionmount.CallerOwned})
	}
	if !inside() {
		for _, dir := range append([]string{"upper", "work", "mnt"}, m.lowerNames()...) {
			if err := os.Mkdir(filepath.Join(m.dir, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

func inside() bool { return os.Getenv(childEnv) == stageMapped }

func (m *mounted) lower(i int) string { return filepath.Join(m.dir, "lower"+strconv.Itoa(i)) }

func (m *mounted) lowerNames() []string {
	var names []string
	for _, l := range m.opts.Lowers {
		names = append(names, filepath.Base(l.Dir))
	}
	return names
}

// run mounts and calls body with the mount point, in the child.
func (m *mounted) run(t *testing.T, body func(t *testing.T, mnt string)) {
	t.Helper()
	if inside() {
		m.runInside(t, body)
		return
	}
	conn, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mapsRead, mapsWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command("/proc/self/exe", "-test.run="+exactly(t.Name()),
		"-test.v="+strconv.FormatBool(testing.Verbose()), "-test.timeout=5m")
	cmd.Env = append(os.Environ(), childEnv+"="+stageUnmapped, childEnv+"_DIR="+m.dir)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.ExtraFiles = []*os.File{theirs, mapsRead}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	mapsRead.Close()
	many, err := mapIDs(cmd.Process.Pid)
	if err != nil || m.manyIDs && !many {
		cmd.Process.Kill()
		cmd.Wait()
		if err != nil {
			t.Fatal(err)
		}
		t.Skip("only one id can be mapped here")
	}
	mapsWrite.Write([]byte{1})
	mapsWrite.Close()

	counters := &Counters{}
	serveErr := m.serve(conn, counters)
	if err := cmd.Wait(); err != nil {
		t.Errorf("in the mount: %v\n%s", err, output.Bytes())
	} else if testing.Verbose() {
		t.Logf("%s", output.Bytes())
	}
	if serveErr != nil {
		t.Error(serveErr)
	}
	if m.check != nil && !t.Failed() {
		m.check(t, m, counters)
	}
}

// exactly returns a pattern that only the named test matches.
func exactly(name string) string {
	return "^" + strings.ReplaceAll(name, "/", "$/^") + "$"
}

// serve gets the FUSE device from the child and serves it until the child has gone.
func (m *mounted) serve(conn *wire.Conn, counters *Counters) error {
	files, err := conn.Expect("device", nil, 1)
	if err != nil {
		return err
	}
	defer files[0].Close()
	u, err := unionmount.Open(m.opts)
	if err != nil {
		return err
	}
	defer u.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return Serve(files[0], u, Options{Logger: log, Counters: counters, Debug: os.Getenv("FUSE_DEBUG") != "",
		Tuning: m.tuning})
}

// runInside mounts, sends the device up, and runs the body.
func (m *mounted) runInside(t *testing.T, body func(t *testing.T, mnt string)) {
	mnt := filepath.Join(m.dir, "mnt")
	if err := mountInside(mnt); err != nil {
		t.Fatal(err)
	}
	// The mount goes with the namespace, but the server shall see it go before this process does.
	defer func() {
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}()
	body(t, mnt)
}

func mountInside(mnt string) error {
	conn, err := wire.FromFile(os.NewFile(3, "wire"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/fuse: %w", err)
	}
	dev := os.NewFile(uintptr(fd), "/dev/fuse")
	defer dev.Close()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", fd)
	if err := unix.Mount("rcrun", mnt, "fuse.rcrun", 0, options); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return conn.Send("device", nil, dev)
}

// mapIDs maps root in the namespace of pid to the caller and, where that can be had, 1 to 65535 to other ids.
func mapIDs(pid int) (many bool, err error) {
	if os.Geteuid() == 0 {
		return true, errors.Join(writeMap(pid, "uid_map", "0 0 1\n1 100000 65535"),
			writeMap(pid, "gid_map", "0 0 1\n1 100000 65535"))
	}
	if newuidmap(pid) == nil {
		return true, nil
	}
	return false, errors.Join(writeMap(pid, "setgroups", "deny"),
		writeMap(pid, "uid_map", fmt.Sprintf("0 %d 1", os.Getuid())),
		writeMap(pid, "gid_map", fmt.Sprintf("0 %d 1", os.Getgid())))
}

func writeMap(pid int, file, content string) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte(content), 0)
}

func newuidmap(pid int) error {
	for tool, own := range map[string]int{"newuidmap": os.Getuid(), "newgidmap": os.Getgid()} {
		first, err := subID("/etc/sub" + tool[3:6])
		if err != nil {
			return err
		}
		cmd := exec.Command(tool, strconv.Itoa(pid), "0", strconv.Itoa(own), "1", "1", first, "65535")
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

// subID returns the first subordinate id of the current user.
func subID(file string) (string, error) {
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) == 3 && fields[0] == me.Username {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%s: nothing for %s", file, me.Username)
}

// credential makes a command run as a user and group of the container.
func credential(id uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
}
