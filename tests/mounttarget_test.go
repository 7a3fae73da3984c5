package tests

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestImageHasNoSayInKernelFiles has images put links and files where the kernel's filesystems, and the devices that
// hide parts of them, belong (CVE-2019-16884, CVE-2025-31133, CVE-2025-52565, CVE-2025-52881).
func TestImageHasNoSayInKernelFiles(t *testing.T) {
	u := newUser(t)
	outside := u.path("home", "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	const look = `stat -f -c %t /proc /sys /dev /dev/pts /dev/shm
stat -c '%F %t %T' /dev/null /dev/console /proc/timer_list /proc/keys
wc -c </proc/timer_list; ls -A /sys/firmware | wc -l
echo 1 >/proc/sys/kernel/core_pattern; touch /sys/x /proc/sys/x; ls -A /elsewhere | wc -l`
	const want = `9fa0
62656572
1021994
1cd1
1021994
character special file 1 3
character special file 88 0
character special file 1 3
character special file 1 3
0
0
0`
	for name, entries := range map[string][]entry{
		"links to a directory": {symlink("proc", "elsewhere"), symlink("sys", "/elsewhere"),
			symlink("dev", "../../elsewhere")},
		"links to the host": {symlink("proc", outside), symlink("sys", "../../../../.."+outside),
			symlink("dev", outside)},
		"links to each other":   {symlink("proc", "sys"), symlink("sys", "dev"), symlink("dev", "proc")},
		"links to the kernel's": {symlink("sys", "/proc/self/root/proc"), symlink("dev", "/proc/self/fd")},
		"files":                 {file("proc", 0o755, "x"), file("sys", 0o755, "x"), file("dev", 0o755, "x")},
		"links in their place": {directory("proc", 0o755), symlink("proc/timer_list", "/elsewhere"),
			symlink("proc/sys", "/elsewhere"), directory("dev", 0o755), symlink("dev/pts", "/elsewhere"),
			symlink("dev/shm", "/elsewhere"), directory("sys", 0o755), symlink("sys/firmware", "/elsewhere")},
		"another null device": {directory("dev", 0o755), symlink("dev/null", "/proc/sysrq-trigger"),
			symlink("dev/console", "/proc/sys/kernel/core_pattern"), symlink("dev/ptmx", "/proc/self/fd/7")},
		"another console": {directory("dev", 0o755), file("dev/null", 0o666, "text"), symlink("dev/pts", "/proc"),
			file("dev/console", 0o666, "text")},
	} {
		u.importImage("bb", join(t, busyboxTree(t), pack(t, append(entries, directory("elsewhere", 0o755))...)))
		r := u.try("run", "--rm", "-t", "--network", "none", "bb", "sh", "-c", "("+look+") 2>/dev/null")
		if got := strings.TrimSpace(strings.ReplaceAll(r.stdout, "\r", "")); got != want || r.code != 0 {
			t.Errorf("%s: exit code %d\n%s\nwant\n%s\n%s", name, r.code, got, want, r.stderr)
		}
	}
	if made, err := os.ReadDir(outside); err != nil || len(made) > 0 {
		t.Errorf("on the host there is %v, %v", made, err)
	}
}

// TestMountTargetIsExchanged exchanges a directory and links to the host, below which containers want something mounted
// (CVE-2021-30465, CVE-2024-45310).
func TestMountTargetIsExchanged(t *testing.T) {
	u := newUserWithImage(t)
	shared, outside, secret := u.path("home", "shared"), u.path("home", "outside"), u.path("home", "secret")
	for _, dir := range []string{shared, shared + "/dir", outside, secret} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u.writeFile(secret+"/file", "mounted\n")
	for i, target := range []string{outside, strings.Repeat("../", 20) + outside, "/proc/self/root" + outside} {
		if err := os.Symlink(target, shared+"/link"+strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var exchanger sync.WaitGroup
	exchanger.Go(func() { exchange(t, shared, stop) })
	defer exchanger.Wait()
	defer close(stop)
	const containers = 12
	started := 0
	for i := range containers {
		r := u.try("run", "--rm", "--network", "none", "-v", shared+":/shared", "-v",
			secret+":/shared/dir/new"+strconv.Itoa(i), "-v", secret+"/file:/shared/dir/file"+strconv.Itoa(i), "bb",
			"sh", "-c", "cat /proc/mounts | grep -c -e /new -e /file")
		if r.code == 0 && r.out() == "2" {
			started++
		} else if r.code != 125 || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("exit code %d, %q\n%s", r.code, r.stdout, r.stderr)
		}
		if made, err := os.ReadDir(outside); err != nil || len(made) > 0 {
			t.Fatalf("container %d: on the host there is %v, %v", i, made, err)
		}
	}
	if started == 0 {
		t.Errorf("none of %d containers has started", containers)
	}
}

// exchange exchanges a directory with links, over and over.
func exchange(t *testing.T, shared string, stop chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		link := shared + "/link" + strconv.Itoa(i%3)
		for range 2 {
			if err := unix.Renameat2(unix.AT_FDCWD, shared+"/dir", unix.AT_FDCWD, link,
				unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// TestPasswdFileIsOdd has images with files for the names of users that are none.
func TestPasswdFileIsOdd(t *testing.T) {
	u := newUser(t)
	device := func(name string, minor int64) entry {
		e := file(name, 0o666, "")
		e.Typeflag, e.Devmajor, e.Devminor = '3', 1, minor
		return e
	}
	pipe := file("etc/passwd", 0o666, "")
	pipe.Typeflag = '6'
	base := pack(t, withoutUsers(entriesOf(t, busyboxTree(t)))...)
	for name, entries := range map[string][]entry{
		"pipe": {pipe}, "zeros": {device("etc/passwd", 5)}, "link to zeros": {symlink("etc/passwd", "/dev/zero")},
		"link to an open file": {symlink("etc/passwd", "/proc/self/fd/3")},
		"link to a process":    {symlink("etc/passwd", "/proc/1/environ")},
		"link to the host":     {symlink("etc/passwd", u.path("home", "passwd"))},
		"link to itself":       {symlink("etc/passwd", "passwd")},
		"directory":            {directory("etc/passwd", 0o755)},
		"endless line":         {file("etc/passwd", 0o644, strings.Repeat("root", 1<<20))},
		"endless entries":      {file("etc/passwd", 0o644, strings.Repeat("a:x:1:1::/:/bin/sh\n", 1<<17))},
		"odd numbers": {file("etc/passwd", 0o644,
			"mallory:x:99999999999999999999:-1:::\nmallory:x:4294967295:0:::\nmallory\n:::::::\n")},
	} {
		u.writeFile(u.path("home", "passwd"), "mallory:x:0:0::/:/bin/sh\n")
		u.importImage("bb", join(t, base, pack(t, entries...)))
		if r := u.try("run", "--rm", "--network", "none", "-u", "mallory", "bb", "id", "-u"); r.code != 125 ||
			r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, printed %q\n%.500s", name, r.code, r.stdout, r.stderr)
		}
		if name == "pipe" || name == "zeros" || name == "endless entries" { // which would take longest
			if r := u.try("run", "--rm", "--network", "none", "-u", "7:8", "bb", "id", "-u"); r.code != 125 &&
				r.stdout != "7\n" {
				t.Errorf("%s: by number: exit code %d, printed %q\n%.500s", name, r.code, r.stdout, r.stderr)
			}
		}
	}
}

// withoutUsers leaves out the files with the names of users and groups.
func withoutUsers(entries []entry) (kept []entry) {
	for _, e := range entries {
		if e.Name != "etc/passwd" && e.Name != "etc/group" {
			kept = append(kept, e)
		}
	}
	return kept
}
