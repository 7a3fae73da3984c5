package unionmount

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const fullEnv = "RCRUN_FULL_DISK_TEST"

// fullLower is the layer below a disk that is full.
func fullLower() tree {
	content := strings.Repeat("lower", 8000) // 40 KB
	return tree{"d/f": file(content).attr("user.t", "value"), "d/h1": file(content), "d/h2": hardlink("d/h1"),
		"d/s/a": file(content), "d/s/b": file("b"), "d/s/l": symlink("target"), "d/s/t/c": file(content),
		"gone/x": file("x"), "file": file("file")}
}

// fullOperations are what takes space in more than one step.
var fullOperations = map[string]func(f *fixture) error{
	"copy attributes":      func(f *fixture) error { return f.chmod("d/f", 0o600) },
	"copy data":            func(f *fixture) error { return f.write("d/f", "new", 7) },
	"copy of linked file":  func(f *fixture) error { return f.write("d/h2", "new", 7) },
	"cut off":              func(f *fixture) error { return f.truncate("d/s/a", 5) },
	"set an xattr":         func(f *fixture) error { return f.setXattr("d/s/b", "user.t", strings.Repeat("v", 500)) },
	"rename a tree":        func(f *fixture) error { return f.rename("d/s", "s", 0) },
	"rename a tree's tree": func(f *fixture) error { return f.rename("d", "gone/d", 0) },
	"exchange":             func(f *fixture) error { return f.rename("d/s", "gone", unix.RENAME_EXCHANGE) },
	"replace":              func(f *fixture) error { return f.rename("d/f", "d/s/a", 0) },
	"rename a link":        func(f *fixture) error { return f.rename("d/s/l", "l", 0) },
	"link":                 func(f *fixture) error { return f.link("d/h1", "d/s/h") },
	"make a directory":     func(f *fixture) error { return f.mkdir("d/s/t/new", 0o1755) },
	"make a link":          func(f *fixture) error { return f.symlink(strings.Repeat("t", 3000), "d/s/t/new") },
	"make a file":          func(f *fixture) error { return f.create("d/s/t/new", 0o4755) },
	"remove a file":        func(f *fixture) error { return f.unlink("d/s/t/c") },
	"remove a directory":   func(f *fixture) error { return f.rmdir("none") },
}

// TestFullDisk fills the disk of the upper, with blocks or with inodes, at each step of operations that take several.
// Everything that shows must stay as it was, no draft may be left, the error must be ENOSPC, and once there is space
// the operation must work.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv(fullEnv); dir != "" {
		for kind, as := range modelLayers() {
			if indexed && as != nil {
				continue // they have no index
			}
			for name := range fullOperations {
				for _, limit := range []string{"size", "nr_inodes"} {
					t.Run(kind+"/"+name+"/"+limit, func(t *testing.T) { fillDisk(t, dir, as, name, limit) })
				}
			}
		}
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestFullDisk$")
	cmd.Env = append(os.Environ(), fullEnv+"="+t.TempDir(), indexedEnv+"="+strconv.FormatBool(indexed))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in a namespace of its own: %v\n%s", err, text)
	}
}

// fillDisk does an operation on disks with more and more space, until it is done.
func fillDisk(t *testing.T, dir string, as *Layer, name, limit string) {
	steps := 0
	for space := 0; ; space += max(1, space/4) {
		if space > 200 {
			t.Fatal("it needs too much")
		}
		if !tryFull(t, dir, as, name, limit, space) {
			break
		}
		steps++
	}
	if steps == 0 && limit == "nr_inodes" && strings.HasPrefix(name, "copy") {
		t.Error("it took nothing")
	}
}

// tryFull does an operation on a disk with a given number of pages or inodes, and again when it has more. It tells
// whether there was too little.
func tryFull(t *testing.T, dir string, as *Layer, name, limit string, space int) (full bool) {
	work, err := os.MkdirTemp(dir, "")
	must(t, err)
	defer os.RemoveAll(work)
	f := plantUnion(t, work, fullLower())
	disk := work + "/disk"
	must(t, os.Mkdir(disk, 0o755))
	must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, ""))
	defer unix.Unmount(disk, unix.MNT_DETACH)
	f.opts.Upper, f.opts.Work = disk+"/upper", disk+"/work"
	must(t, os.Mkdir(f.opts.Upper, 0o755))
	must(t, os.Mkdir(f.opts.Work, 0o755))
	if as != nil {
		f.describe(*as)
	}
	f.open()
	before := f.inventory()
	limitDisk(t, disk, limit, space)
	err = fullOperations[name](f)
	after := f.inventory()
	if full = errnoOf(err) == unix.ENOSPC; full {
		for path := range before {
			if before[path] != after[path] {
				t.Errorf("with %s %d: %s was %s and is %s", limit, space, path, before[path], after[path])
			}
		}
	} else if err != nil && name != "remove a directory" {
		t.Errorf("with %s %d: %v", limit, space, err)
	}
	f.checkIdle()
	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT, "size=50%,nr_inodes=100000"))
	if full {
		if err := fullOperations[name](f); err != nil {
			t.Errorf("with %s %d, and again with space: %v", limit, space, err)
		}
	}
	after = f.inventory()
	f.reopen()
	again := f.inventory()
	for path := range after {
		if after[path] != again[path] {
			t.Errorf("with %s %d: %s is %s, and after a remount %s", limit, space, path, after[path], again[path])
		}
	}
	f.close()
	return full
}

// limitDisk leaves so many pages or inodes free.
func limitDisk(t *testing.T, disk, limit string, space int) {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(disk, &st))
	used := st.Files - st.Ffree
	if limit == "size" {
		used = (st.Blocks - st.Bfree) * uint64(st.Bsize)
		space *= int(st.Bsize)
	}
	// A size of 0 would be none.
	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT, fmt.Sprintf("%s=%d", limit, max(used+uint64(space), 1))))
}
