package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const mib = 1 << 20

// holds returns what a container's root filesystem takes and has left, in bytes, by df.
func (u *user) holds(container string) (size, used, free int64) {
	u.t.Helper()
	fields := strings.Fields(u.run("exec", container, "sh", "-c", "df -P -k / | tail -n 1"))
	if len(fields) != 6 {
		u.t.Fatalf("df says %q", fields)
	}
	numbers := make([]int64, 3)
	for i := range numbers {
		n, err := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil {
			u.t.Fatal(err)
		}
		numbers[i] = n << 10
	}
	return numbers[0], numbers[1], numbers[2]
}

// fillUp has a container write until there is no room, and returns how large the file is.
func (u *user) fillUp(container, file string) int64 {
	u.t.Helper()
	r := u.try("exec", container, "dd", "if=/dev/zero", "of="+file, "bs=64k")
	if r.code == 0 || !strings.Contains(r.stderr, "No space left on device") {
		u.t.Fatalf("dd ended with %d, %s", r.code, r.stderr)
	}
	size, err := strconv.ParseInt(u.run("exec", container, "stat", "-c", "%s", file), 10, 64)
	if err != nil {
		u.t.Fatal(err)
	}
	return size
}

// near wants a number of bytes to be within a mebibyte of another.
func near(t *testing.T, what string, got, want int64) {
	t.Helper()
	if got < want-mib || got > want+mib {
		t.Errorf("%s: %d bytes, want %d within a mebibyte", what, got, want)
	}
}

// onDisk returns what a container's changes take on the host.
func (u *user) onDisk() int64 {
	u.t.Helper()
	r := u.finish(u.command("sh", "-c",
		`cd "$HOME"/.local/share/rcrun/storage/fuse/dir && du -s -B1 "$(dirname */work)"/diff | cut -f 1`))
	n, err := strconv.ParseInt(strings.TrimSpace(r.stdout), 10, 64)
	if err != nil {
		u.t.Fatalf("du: %v\n%s", err, r.stderr)
	}
	return n
}

func TestQuotaSize(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "small", "--network", "none", "--storage-opt", "size=16m", "bb", "sleep", "1000")
	u.run("run", "-d", "--name", "large", "--network", "none", "--storage-opt", "size=24m", "bb", "sleep", "1000")
	u.prints("16m", "inspect", "-f", "{{.HostConfig.StorageOpt.size}}", "small")
	size, used, free := u.holds("small")
	if size != 16*mib || used+free != size || used > mib {
		t.Errorf("at the start, df says %d bytes, %d used, %d free", size, used, free)
	}
	near(t, "the file", u.fillUp("small", "/big"), 16*mib)
	size, used, free = u.holds("small")
	if size != 16*mib || free > 4096 {
		t.Errorf("when it is full, df says %d bytes, %d used, %d free", size, used, free)
	}
	u.run("exec", "small", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=15", "conv=notrunc") // over what is there
	near(t, "the other's file", u.fillUp("large", "/big"), 24*mib)

	for range 20 { // the kernel says later that it has forgotten a file, and nobody may notice
		u.run("exec", "small", "sh", "-c",
			"for i in 1 2 3; do rm /big && dd if=/dev/zero of=/big bs=1M count=14 2>/dev/null || exit 1; done")
	}
	u.run("exec", "small", "sh", "-c", "rm /big && echo goes on >/new")
	if _, used, _ = u.holds("small"); used > mib {
		t.Errorf("after the removal, df says that %d bytes are used", used)
	}
	u.run("rm", "-f", "small", "large")
}

// TestQuotaFull does with a full container what must not need room in it.
func TestQuotaFull(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "full", "--network", "none", "--storage-opt", "size=8m", "bb", "sleep", "1000")
	u.fillUp("full", "/big")
	u.run("exec", "full", "sh", "-c", "while echo x >>/bits; do :; done 2>/dev/null; true")
	u.prints("gone", "exec", "full", "sh", "-c",
		"rm -r /etc/group /home; test -e /etc/passwd && test ! -e /etc/group && echo gone")
	contains(t, u.run("diff", "full"), "A /big", "D /etc/group", "D /home")
	u.run("commit", "full", "committed")
	u.prints("gone", "run", "--rm", "--network", "none", "committed", "sh", "-c",
		"test -s /big && test ! -e /home && echo gone")
	u.run("stop", "-t", "0", "full")
	u.run("start", "full")
	u.prints("still full", "exec", "full", "sh", "-c", "echo y >>/bits 2>/dev/null || echo still full")
	u.run("rm", "-f", "full")
}

// TestQuotaRemembered checks that what is used is known after a stop, and counted after a crash.
func TestQuotaRemembered(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "box", "--network", "none", "--storage-opt", "size=16m", "--storage-opt",
		"inodes=1000", "bb", "sleep", "1000")
	u.run("exec", "box", "sh", "-c",
		"dd if=/dev/zero of=/data bs=1M count=9 2>/dev/null; mkdir /d; for i in 1 2 3 4 5; do echo x >/d/$i; done; "+
			"ln /d/1 /d/link")
	_, before, _ := u.holds("box")
	inodes := func() string { return u.run("exec", "box", "stat", "-f", "-c", "%c %d", "/") }
	left := inodes()
	record := func() []string {
		found, err := filepath.Glob(u.path("home/.local/share/rcrun/storage/fuse/dir/*/work/usage"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	check := func(how string) {
		t.Helper()
		if _, now, _ := u.holds("box"); now != before || inodes() != left {
			t.Errorf("%s %d bytes are used and %q inodes; %d and %q before", how, now, inodes(), before, left)
		}
		if disk := u.onDisk(); disk != before {
			t.Errorf("%s %d bytes are used, and %d are taken on disk", how, before, disk)
		}
	}
	check("at first")
	u.run("stop", "-t", "0", "box")
	if len(record()) != 1 {
		t.Errorf("after the stop there are the records %q", record())
	}
	u.run("start", "box")
	check("after the stop")
	for _, p := range append(u.processes(fuseProcess), u.processes(monitorProcess)...) {
		p.kill(t)
	}
	eventually(t, "all processes end", func() bool {
		for _, p := range u.processes("") {
			if !p.gone() {
				return false
			}
		}
		return true
	})
	if len(record()) != 0 {
		t.Errorf("after the crash there are the records %q", record())
	}
	u.run("start", "box")
	check("after the crash")
	near(t, "the rest", u.fillUp("box", "/more"), 16*mib-before)
	u.run("rm", "-f", "box")
}

func TestQuotaInodes(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "box", "--network", "none", "--storage-opt", "inodes=50", "bb", "sleep", "1000")
	r := u.try("exec", "box", "sh", "-c",
		"mkdir /d && i=0; while [ $i -lt 100 ]; do touch /d/$i || break; i=$((i+1)); done; ls /d | wc -l; [ $i -eq "+
			"100 ]")
	if r.code == 0 || !strings.Contains(r.stderr, "No space left on device") {
		t.Errorf("made 100 files of 50: %d, %s", r.code, r.stderr)
	}
	if made, err := strconv.Atoi(r.out()); err != nil || made < 40 || made > 50 {
		t.Errorf("made %s files of 50", r.out())
	}
	u.prints("50 0", "exec", "box", "stat", "-f", "-c", "%c %d", "/")
	u.run("exec", "box", "sh", "-c", // the directory /etc takes one of the two
		"rm /d/1 /d/2 /etc/group && echo x >/d/new && ! mkdir /d/more 2>/dev/null")
	u.run("rm", "-f", "box")
}

func TestQuotaOfDirectory(t *testing.T) {
	u := newUser(t)
	u.run("run", "-d", "--name", "box", "--network", "none", "--rootfs", "/:O", "--storage-opt", "size=8m,inodes=200",
		"sleep", "1000")
	near(t, "the file", u.fillUp("box", "/var/big"), 8*mib)
	u.run("rm", "-f", "box")
}

func TestQuotaRefused(t *testing.T) {
	u := newUserWithImage(t)
	before := u.entries("home", ".local", "share", "rcrun", "containers")
	for _, value := range []string{"size=", "size=-1", "size=0", "size=much", "inodes=0", "inodes=-5", "inodes=1k",
		"inodes", "color=red", "64m", "size=99999999999999999999g"} {
		u.fails(125, []string{"invalid storage option"}, "run", "--storage-opt", value, "missing", "true")
		u.fails(125, []string{"invalid storage option"}, "create", "--storage-opt", "size=1m", "--storage-opt", value,
			"bb")
	}
	u.fails(125, []string{"--rootfs", ":O"}, "run", "--rootfs", u.dir, "--storage-opt", "size=1m", "true")
	for _, driver := range []string{"overlay", "vfs"} {
		other := newRootOf(u, driver)
		other.fails(125, []string{"needs the storage driver fuse", driver, "--storage-driver fuse"},
			"create", "--pull", "never", "--storage-opt", "size=1m", "bb")
	}
	if after := u.entries("home", ".local", "share", "rcrun", "containers"); len(after) != len(before) {
		t.Errorf("left of what was refused: %q", after)
	}
	contains(t, u.run("info"), "Quota: on")
}

// newRootOf returns the same user with another data directory, for a store of another driver.
func newRootOf(u *user, driver string) *user {
	other := *u
	other.env = append([]string(nil), u.env...)
	other.setenv("RCRUN_STORAGE_DRIVER", driver)
	other.setenv("XDG_DATA_HOME", u.path("home", driver))
	return &other
}

// TestQuotaOfUnion checks the options of the filesystem by itself, under both of its names.
func TestQuotaOfUnion(t *testing.T) {
	for _, command := range []string{"rcrun union mount", "fuse-rcrun"} {
		t.Run(command, func(t *testing.T) {
			u := newUserBeside(t, hostMounts.RLocker())
			for _, dir := range []string{"lower", "upper", "work", "mnt"} {
				if err := os.Mkdir(u.path("home", dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			mount := strings.Replace(command, "rcrun union", "$RCRUN union", 1)
			if command == "fuse-rcrun" {
				if err := os.Link(u.path("rcrun"), u.path("fuse-rcrun")); err != nil {
					t.Fatal(err)
				}
				mount = u.path("fuse-rcrun")
			}
			r := u.finish(u.command("sh", "-c", fmt.Sprintf(`mount_it() { %s -o lowerdir=lower,upperdir=upper,workdir=work,$1 mnt; }
				mount_it size=4m,inodes=20 || exit 1
				trap '$RCRUN union unmount mnt' EXIT
				dd if=/dev/zero of=mnt/big bs=64k 2>/dev/null && exit 2
				stat -c %%s mnt/big; stat -f -c '%%b %%S %%c' mnt
				rm mnt/big; for i in $(seq 30); do touch mnt/$i || break; done 2>/dev/null; ls mnt | wc -l
				$RCRUN union unmount mnt
				trap - EXIT
				mount_it size=none 2>&1`, mount)))
			lines := strings.Split(r.out(), "\n")
			if len(lines) != 4 || lines[1] != "1024 4096 20" || lines[2] != "19" ||
				!strings.Contains(lines[3], "size=none: want a size such as 64m") {
				t.Fatalf("exit code %d, printed %q\n%s", r.code, lines, r.stderr)
			}
			size, err := strconv.ParseInt(lines[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "the file", size, 4*mib)
		})
	}
}
