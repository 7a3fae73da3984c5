package posix

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rcrun/rcrun/tests/patience"
	"golang.org/x/sys/unix"
)

// filesystem is something that scripts are run on.
type filesystem struct {
	t       *testing.T
	dir     string // holds all its directories
	mounted string // where it is mounted; empty when it is not
	command []string
	stacks  bool // an upper that had lowers may become a lower itself
	layers  int  // made so far, the upper included; they are dir/1, dir/2, ...
	root    string
}

// kind is a way to mount layers.
type kind struct {
	options string
	kernel  bool
	stacks  bool
}

var kinds = map[string]kind{
	"host":      {options: "", stacks: true},
	"caller":    {options: ",ownership=caller"},
	"writeback": {options: ",writeback=1", stacks: true},
	"referring": {options: ",redirect_dir=on,metacopy=on", stacks: true},
	"kernel":    {kernel: true, stacks: true},
}

// newPlain returns a directory.
func newPlain(t *testing.T, dir string) *filesystem {
	t.Helper()
	makeRoot(t, dir)
	return &filesystem{t: t, dir: dir, root: dir}
}

// makeRoot makes a directory in which every user may make files.
func makeRoot(t *testing.T, dir string) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chmod(dir, 0o777))
}

// newUnion returns a union that has no layer yet.
func newUnion(t *testing.T, dir string, k kind) *filesystem {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Mkdir(dir+"/mnt", 0o755))
	f := &filesystem{t: t, dir: dir, root: dir + "/mnt", stacks: k.stacks, command: []string{overlayProgram(t, dir),
		"-o", "LAYERS" + k.options, "mnt"}}
	if k.kernel {
		f.command = []string{"mount", "-t", "overlay", "-o", "userxattr,redirect_dir=nofollow,LAYERS", "overlay", "mnt"}
	}
	t.Cleanup(f.unmount)
	return f
}

// addLayer makes a new upper, over all that there was. It does nothing in a plain directory.
func (f *filesystem) addLayer() {
	f.t.Helper()
	if f.command == nil {
		return
	}
	f.unmount()
	f.layers++
	makeRoot(f.t, f.layer(f.layers))
	must(f.t, os.MkdirAll(f.dir+"/work", 0o755))
	f.mount()
}

func (f *filesystem) layer(i int) string { return fmt.Sprintf("%s/%d", f.dir, i) }

// remount unmounts and mounts again, with a new layer where one can be had.
func (f *filesystem) remount(newLayer bool) {
	f.t.Helper()
	if f.command == nil {
		return
	}
	if newLayer && (f.stacks || f.layers == 1) {
		f.unmount()
		must(f.t, os.RemoveAll(f.dir+"/work"))
		f.addLayer()
		return
	}
	f.unmount()
	f.mount()
}

func (f *filesystem) mount() {
	f.t.Helper()
	options := "upperdir=" + f.layer(f.layers) + ",workdir=" + f.dir + "/work"
	var lowers []string
	for i := f.layers - 1; i > 0; i-- {
		lowers = append(lowers, f.layer(i))
	}
	if f.layers == 1 && f.command[0] == "mount" { // the kernel wants a lower
		must(f.t, os.MkdirAll(f.dir+"/empty", 0o755))
		lowers = []string{f.dir + "/empty"}
	}
	if len(lowers) > 0 {
		options += ",lowerdir=" + strings.Join(lowers, ":")
	}
	args := append([]string(nil), f.command...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "LAYERS", options)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = f.dir
	if text, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("%q: %v\n%s", args, err, text)
	}
	f.mounted = f.root
}

func (f *filesystem) unmount() {
	f.t.Helper()
	if f.mounted == "" {
		return
	}
	unmount(f.t, f.mounted)
	f.mounted = ""
}

// unmount unmounts what nothing of the test uses any more. A program that a parallel test starts has copies of all open
// files until it is executed.
func unmount(t *testing.T, dir string) {
	t.Helper()
	err := unix.Unmount(dir, 0)
	for w := patience.Begin(5 * time.Second); err == unix.EBUSY && !w.Over(); time.Sleep(5 * time.Millisecond) {
		err = unix.Unmount(dir, 0)
	}
	if err != nil {
		t.Errorf("unmount: %v", err)
		must(t, unix.Unmount(dir, unix.MNT_DETACH))
	}
}
