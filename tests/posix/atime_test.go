package posix

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// accessTimes are options and what they do: which files and directories get a new access time when they are read once
// and then once more. Those of lower layers never do.
var accessTimes = map[string]string{
	"noatime":                "file -- dir -- exec -- low -- lowdir --",
	"relatime":               "file +- dir +- exec +- low -- lowdir --",
	"strictatime":            "file ++ dir ++ exec ++ low -- lowdir --",
	"relatime,nodiratime":    "file +- dir -- exec +- low -- lowdir --",
	"strictatime,nodiratime": "file ++ dir -- exec ++ low -- lowdir --",
}

// readings are what reads each of the files that TestAccessTimes makes.
var readings = []struct {
	name string
	read func(path string) error
}{
	{"file", func(path string) error { _, err := os.ReadFile(path); return err }},
	{"dir", func(path string) error { _, err := os.ReadDir(path); return err }},
	{"exec", func(path string) error { return exec.Command(path).Run() }},
	{"low", func(path string) error { _, err := os.ReadFile(path); return err }},
	{"lowdir", func(path string) error { _, err := os.ReadDir(path); return err }},
}

// observe reads everything twice, and tells of which the access time has changed.
func observe(t *testing.T, root string) string {
	t.Helper()
	var all []string
	for _, r := range readings {
		path, changes := root+"/"+r.name, ""
		for range 2 {
			before := atimeOf(t, path)
			must(t, waitForTick())
			must(t, r.read(path))
			if atimeOf(t, path) != before {
				changes += "+"
			} else {
				changes += "-"
			}
		}
		all = append(all, r.name+" "+changes)
	}
	return strings.Join(all, " ")
}

func atimeOf(t *testing.T, path string) unix.Timespec {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Atim
}

// age gives what is in the upper a change of long ago, and an access before it. The kernel then knows neither the data
// of the files nor what is in the directory.
func age(t *testing.T, root string) {
	t.Helper()
	for _, name := range []string{"file", "dir", "exec"} {
		path := root + "/" + name
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1000}, {Sec: 2000}}, 0))
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED))
		unix.Close(fd)
	}
	must(t, os.WriteFile(root+"/dir/more", nil, 0o644))
	must(t, os.Remove(root+"/dir/more"))
}

// withAccessTimes returns a union with a lower layer and an upper of files for observe.
func withAccessTimes(t *testing.T, dir string, k kind, options string) *filesystem {
	t.Helper()
	k.options += "," + options
	f := newUnion(t, dir, k)
	if k.kernel {
		f.command[4] += "," + options
	}
	f.addLayer()
	must(t, os.WriteFile(f.root+"/low", []byte("low"), 0o644))
	must(t, os.Mkdir(f.root+"/lowdir", 0o755))
	f.remount(true)
	must(t, os.WriteFile(f.root+"/file", []byte("file"), 0o644))
	must(t, os.Mkdir(f.root+"/dir", 0o755))
	must(t, os.WriteFile(f.root+"/exec", []byte("#!/bin/true\n"), 0o755))
	f.remount(false)
	age(t, f.root)
	return f
}

// TestAccessTimes mounts with the options of access times, and holds the kernel's overlay to the same.
func TestAccessTimes(t *testing.T) {
	for name, k := range kinds {
		for options, want := range accessTimes {
			t.Run(name+" "+strings.ReplaceAll(options, ",", " "), func(t *testing.T) {
				if k.kernel {
					needOverlay(t)
				}
				dir := t.TempDir()
				must(t, os.Chmod(dir, 0o755))
				f := withAccessTimes(t, dir+"/union", k, options)
				if got := observe(t, f.root); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

var atimeFlags = map[string]uintptr{"noatime": unix.MS_NOATIME, "relatime": unix.MS_RELATIME,
	"relatime,nodiratime": unix.MS_RELATIME | unix.MS_NODIRATIME}

// TestRemountedAccessTimes changes the options of a mount, by the program that mounted it and behind its back.
func TestRemountedAccessTimes(t *testing.T) {
	for _, how := range []string{"fuse-rcrun", "mount", "kernel"} {
		t.Run(how, func(t *testing.T) {
			k := kinds["host"]
			if how == "kernel" {
				needOverlay(t)
				k = kinds["kernel"]
			}
			dir := t.TempDir()
			must(t, os.Chmod(dir, 0o755))
			f := withAccessTimes(t, dir+"/union", k, "noatime")
			for _, options := range []string{"relatime", "noatime", "relatime,nodiratime", "noatime"} {
				if how == "fuse-rcrun" {
					if text, err := exec.Command(f.command[0], "-o", "remount,"+options,
						f.root).CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, text)
					}
				} else {
					must(t, unix.Mount("", f.root, "", unix.MS_REMOUNT|unix.MS_BIND|atimeFlags[options], ""))
				}
				age(t, f.root)
				got := observe(t, f.root)
				if how == "mount" { // of which the server hears, but not at once
					for tries := 0; got != accessTimes[options] && tries < 20; tries++ {
						age(t, f.root)
						got = observe(t, f.root)
					}
				}
				if got != accessTimes[options] {
					t.Errorf("%s:\ngot  %s\nwant %s", options, got, accessTimes[options])
				}
			}
		})
	}
}

// TestNoRequestsForDirectories counts what the kernel asks when directories are listed: it opens them by itself.
func TestNoRequestsForDirectories(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	f := withAccessTimes(t, dir+"/union", kinds["host"], "relatime")
	observe(t, f.root)
	buf := make([]byte, 64<<10)
	n, err := unix.Getxattr(f.root, "user.rcrun.stats", buf)
	must(t, err)
	for _, kind := range []string{"opendir", "releasedir", "open", "release"} {
		if got := string(buf[:n]); strings.Contains(got, fmt.Sprintf("%q:", kind)) &&
			!slices.Contains(asked(got, kind), "1") {
			t.Errorf("%s came in %s", kind, got)
		}
	}
}

// asked returns how often a request came, which is once where it is answered that it need not come.
func asked(stats, kind string) []string {
	_, rest, _ := strings.Cut(stats, fmt.Sprintf("%q:", kind))
	number, _, _ := strings.Cut(rest, ",")
	return []string{strings.TrimRight(number, "}")}
}
