package tests

import (
	"fmt"
	"os"
	osuser "os/user"
	"strings"
	"testing"
)

// script runs a shell script as the user, with $RCRUN as the binary, on a host that alter, a shell script too, has
// changed: in user and mount namespaces of its own it may mount over anything. The script itself runs without
// capabilities.
func (u *user) script(alter, script string) result {
	u.t.Helper()
	return u.finish(u.command("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-ec",
		alter+`
exec setpriv --inh-caps=-all --ambient-caps=-all sh -c "$0"`, script))
}

// Ways to take something from the host.
const (
	withoutNewuidmap = `mount --bind /dev/null "$(command -v newuidmap)"`
	withoutSubuids   = `mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid`
	withoutSlirp     = `mount --bind /dev/null "$(command -v slirp4netns)"`
	withoutFuse      = `mkdir -p "$TMPDIR/dev"; mount -t tmpfs dev "$TMPDIR/dev"
for d in null zero full random urandom tty net; do
	if [ -d /dev/$d ]; then mkdir "$TMPDIR/dev/$d"; mount --rbind /dev/$d "$TMPDIR/dev/$d"
	else : >"$TMPDIR/dev/$d"; mount --bind /dev/$d "$TMPDIR/dev/$d"; fi
done
mount --rbind "$TMPDIR/dev" /dev`
)

func TestWithoutSubordinateIDs(t *testing.T) {
	for name, c := range map[string]struct{ alter, missing string }{
		"no newuidmap": {withoutNewuidmap, "newuidmap"},
		"no subuids":   {withoutSubuids, "subuid"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUserWithImage(t)
			r := u.script(c.alter, `$RCRUN run -d --name box bb sleep 1000 >/dev/null
cat /proc/$($RCRUN inspect -f '{{.State.Pid}}' box)/uid_map
$RCRUN exec box sh -c 'cat /etc/secret; ls -ln /home/alice/own; touch /x; stat -c %u /x'
$RCRUN rm -f box >/dev/null`)
			warning := strings.TrimSpace(r.stderr)
			if r.code != 0 || strings.Count(warning, "\n") != 0 || !strings.Contains(warning, c.missing) ||
				!strings.Contains(warning, "sudo ") {
				t.Errorf("exit code %d, and the one warning is %q", r.code, r.stderr)
			}
			if want := fmt.Sprintf("0 %d 1",
				os.Getuid()); strings.Join(strings.Fields(strings.Split(r.stdout, "\n")[0]), " ") != want {
				t.Errorf("the map is not %q in %q", want, r.stdout)
			}
			contains(t, r.stdout, "secret\n")
			if !strings.HasSuffix(r.stdout, "\n0\n") {
				t.Errorf("a new file is not root's: %q", r.stdout)
			}
			r = u.script(c.alter, `$RCRUN run --rm --userns keep-id bb id -u`)
			if want := fmt.Sprintf("%d\n", os.Getuid()); r.code != 0 || r.stdout != want {
				t.Errorf("keep-id: exit code %d, %q, %s", r.code, r.stdout, r.stderr)
			}
			u.failed(u.script(c.alter, `$RCRUN run --rm --userns nomap bb true`), 125, c.missing)
			u.prints("", "ps", "-aq")
		})
	}
}

func TestWithoutFuse(t *testing.T) {
	u := newUserWithImage(t)
	remedy := "sudo modprobe fuse"
	if inForeignContainer() { // which can load no module
		remedy = "--device /dev/fuse"
	}
	u.failed(u.script(withoutFuse, `$RCRUN run --name c1 bb true`), 125, "/dev/fuse", "to mend it", remedy)
	// Creating mounts nothing, and so does not miss it; images come and go as well.
	r := u.script(withoutFuse, `$RCRUN create --name d1 bb true && $RCRUN rm d1 && $RCRUN images`)
	if r.code != 0 {
		t.Errorf("create: exit code %d\n%s", r.code, r.stderr)
	}
	contains(t, r.stdout, "bb")
}

// inForeignContainer tells whether the tests themselves run in a container of an engine that leaves a mark.
func inForeignContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}

func TestWithoutSlirp(t *testing.T) {
	u := newUserWithImage(t)
	r := u.script(withoutSlirp, `$RCRUN run --rm bb sh -c 'ls /sys/class/net'`)
	if r.code != 0 || r.stdout != "lo\n" || strings.Count(r.stderr, "slirp4netns is not installed") != 1 {
		t.Errorf("exit code %d, interfaces %q\n%s", r.code, r.stdout, r.stderr)
	}
	contains(t, r.stderr, "apt-get install slirp4netns")
	u.failed(u.script(withoutSlirp, `$RCRUN run --rm --network slirp4netns bb true`), 125,
		"apt-get install slirp4netns")
	u.failed(u.script(withoutSlirp, `$RCRUN run --rm -p 80 bb true`), 125, "apt-get install slirp4netns")
}

// TestFullDisk gives rcrun a data directory of a few megabytes.
func TestFullDisk(t *testing.T) {
	u := newUser(t)
	if err := os.WriteFile(u.path("home", "bb.tar"), busyboxTree(t), 0o600); err != nil {
		t.Fatal(err)
	}
	big := pack(t, file("big", 0o644, strings.Repeat("0123456789abcdef", 1<<20)))
	if err := os.WriteFile(u.path("home", "big.tar"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	const small = `mkdir -p "$HOME/.local/share/rcrun"; mount -t tmpfs -o size=8m,mode=700 small "$HOME/.local/share/rcrun"`
	r := u.script(small, `cd; $RCRUN import big.tar big; echo code $?; $RCRUN images -q; $RCRUN import bb.tar bb >/dev/null; echo code $?; $RCRUN images | grep -c bb`)
	if r.stdout != "code 125\ncode 0\n1\n" {
		t.Errorf("got %q\n%s", r.stdout, r.stderr)
	}
	contains(t, r.stderr, "no space left on device")
	r = u.script(small, `cd; $RCRUN import bb.tar bb >/dev/null
$RCRUN run --name c1 bb sh -c 'cat /dev/zero >/file; rm /file; echo again >/file && cat /file'; echo code $?
$RCRUN rm c1; $RCRUN ps -aq`)
	if r.stdout != "again\ncode 0\nc1\n" {
		t.Errorf("got %q\n%s", r.stdout, r.stderr)
	}
	contains(t, r.stderr, "No space left on device")
}

func TestUnwritableDirectories(t *testing.T) {
	u := newUserWithImage(t)
	if err := os.Mkdir(u.path("home", "fixed"), 0o500); err != nil {
		t.Fatal(err)
	}
	u.setenv("XDG_DATA_HOME", u.path("home", "fixed"))
	u.fails(125, []string{u.path("home", "fixed"), "permission denied"}, "run", "--rm", "bb", "true")
	u.setenv("XDG_DATA_HOME", "/dev/null")
	u.fails(125, []string{"/dev/null", "not a directory"}, "run", "--rm", "bb", "true")
	u.setenv("XDG_DATA_HOME", "")
	u.prints("ok", "run", "--rm", "bb", "echo", "ok")
}

// TestWithoutHome runs commands without HOME, with an /etc/passwd that names a home, names none, or does not have the
// user.
func TestWithoutHome(t *testing.T) {
	u := newUserWithImage(t)
	caller, err := osuser.Current()
	if err != nil {
		t.Fatal(err)
	}
	u.setenv("HOME", "")
	passwd := func(home string) string {
		line := fmt.Sprintf("%s:x:%s:%s::%s:/bin/sh", caller.Username, caller.Uid, caller.Gid, home)
		return fmt.Sprintf(`echo '%s' >"$TMPDIR/passwd"; mount --bind "$TMPDIR/passwd" /etc/passwd`, line)
	}
	if r := u.script(passwd(u.path("home")), `$RCRUN images --format '{{.Repository}}'`); r.code != 0 ||
		r.out() != "bb" {
		t.Errorf("exit code %d, images %q\n%s", r.code, r.stdout, r.stderr)
	}
	for _, alter := range []string{passwd(""), "mount --bind /dev/null /etc/passwd"} {
		u.failed(u.script(alter, `$RCRUN images`), 125, "HOME", "no home in /etc/passwd", "--root")
	}
}
