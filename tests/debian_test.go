package tests

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDebian imports a real Debian root filesystem and lives in it.
func TestDebian(t *testing.T) {
	u := newUser(t)
	u.limit = 15 * time.Minute // a network may be slow
	id := u.run("import", "-c", `CMD ["bash"]`, debianTar(), "debian:12")
	u.hasImage("debian:12", id)
	t.Run("first look", func(t *testing.T) { u.with(t).looksLikeDebian() })
	t.Run("owners and modes", func(t *testing.T) { u.with(t).hasAllFilesOf(debianTar()) })
	t.Run("software", func(t *testing.T) { u.with(t).installsSoftware() })
}

func (u *user) looksLikeDebian() {
	contains(u.t, u.run("run", "--rm", "debian:12", "cat", "/etc/os-release"), `VERSION_ID="12"`)
	contains(u.t, u.run("run", "--rm", "debian:12", "stat", "-f", "-c", "%T", "/"), "fuse")
	m := u.idMap("debian:12")
	if len(m) != 2 || m[0] != fmt.Sprintf("0 %d 1", os.Getuid()) || !strings.HasPrefix(m[1], "1 ") {
		u.t.Errorf("the id map is %q", m)
	}
}

// hasAllFilesOf compares type, mode, owner, group and link target of every file in a container with the tar.
func (u *user) hasAllFilesOf(path string) {
	u.t.Helper()
	want := readTar(u.t, path)
	got := map[string]string{}
	listing := strings.Split(u.run("run", "--rm", "debian:12", "find", "/", "-xdev", "-printf", `%P\0%y %m %U %G %l\0`),
		"\x00")
	for pair := range slices.Chunk(listing, 2) {
		if len(pair) == 2 && !ofTheEngine(pair[0]) {
			got[pair[0]] = strings.TrimSpace(pair[1])
		}
	}
	if len(want) < 5000 {
		u.t.Fatalf("the tar has %d entries only", len(want))
	}
	wrong := 0
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			wrong++
			if wrong <= 20 {
				u.t.Errorf("%s is %q, want %q", name, got[name], want[name])
			}
		}
		delete(got, name)
	}
	for name, what := range got {
		wrong++
		u.t.Errorf("%s (%s) is not in the tar", name, what)
	}
	if wrong > 0 {
		u.t.Errorf("%d of %d files are wrong", wrong, len(want))
	}
}

// ofTheEngine tells whether a path is one that every container has, whatever its image: mounts, and files that the
// engine provides.
func ofTheEngine(name string) bool {
	for _, dir := range []string{"dev", "proc", "sys"} {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return slices.Contains([]string{"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv"}, name)
}

// readTar describes every entry of a tar as find -printf '%y %m %U %G %l' does.
func readTar(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("a Debian root filesystem is needed, which \"scripts/setup test\" makes: %v", err)
	}
	defer f.Close()
	all := map[string]string{}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Trim(strings.TrimPrefix(h.Name, "."), "/")
		if ofTheEngine(name) {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			all[name] = all[strings.Trim(strings.TrimPrefix(h.Linkname, "."), "/")]
			continue
		}
		all[name] = strings.TrimSpace(fmt.Sprintf("%s %o %d %d %s", findType(h.Typeflag), h.Mode&0o7777, h.Uid, h.Gid,
			h.Linkname))
	}
}

func findType(flag byte) string {
	switch flag {
	case tar.TypeDir:
		return "d"
	case tar.TypeSymlink:
		return "l"
	case tar.TypeChar:
		return "c"
	case tar.TypeBlock:
		return "b"
	case tar.TypeFifo:
		return "p"
	}
	return "f"
}

// installsSoftware installs a web server and a language through the network, uses both, and stops, starts and removes
// the container.
func (u *user) installsSoftware() {
	before := u.diskUsage()
	port := freePort(u.t)
	u.run("run", "-d", "--init", "--name", "web", "-p", fmt.Sprintf("127.0.0.1:%d:80", port), "debian:12", "sh", "-c",
		"[ -x /usr/sbin/nginx ] && exec nginx -g 'daemon off;'; exec sleep infinity")
	u.run("exec", "-e", "DEBIAN_FRONTEND=noninteractive", "web", "sh", "-ec",
		"apt-get update -q; apt-get install -q -y --no-install-recommends nginx python3")
	u.prints("", "exec", "web", "dpkg", "--audit")
	u.prints("", "exec", "web", "dpkg", "--verify", "nginx", "python3-minimal", "libpython3-stdlib")
	u.prints("_apt:root 700 /var/cache/apt/archives/partial\nroot:adm 755 /var/log/nginx\nroot:shadow 640 "+
		"/etc/shadow\nroot:root 1777 /tmp", "exec", "web",
		"stat", "-c", "%U:%G %a %n", "/var/cache/apt/archives/partial", "/var/log/nginx", "/etc/shadow", "/tmp")
	u.honoursStatOverrides()

	u.run("exec", "web", "nginx")
	contains(u.t, fetch(u.t, port), "Welcome to nginx!")
	u.prints("www-data:root 700", "exec", "web", "stat", "-c", "%U:%G %a", "/var/lib/nginx/body")
	u.prints("www-data", "exec", "web", "sh", "-c",
		"stat -c %U $(grep -l 'nginx: worker' /proc/[0-9]*/cmdline | head -n 1)")
	program := "import json, sqlite3, pathlib; db = sqlite3.connect('/srv/db'); db.execute('create table t (x)'); " +
		"db.execute('insert into t values (42)'); db.commit(); " +
		"pathlib.Path('/srv/out').write_text(json.dumps(db.execute('select x from t').fetchall()))"
	u.run("exec", "web", "python3", "-c", program)
	u.prints("[[42]]", "exec", "web", "cat", "/srv/out")

	u.run("stop", "-t", "2", "web")
	contains(u.t, u.run("ps", "-a"), "web", "Exited")
	u.run("start", "web")
	contains(u.t, fetch(u.t, port), "Welcome to nginx!")
	u.prints("[[42]]", "exec", "web", "cat", "/srv/out")
	u.prints("(42,)", "exec", "web", "python3", "-c",
		"import sqlite3; print(sqlite3.connect('/srv/db').execute('select x from t').fetchone())")

	used := u.diskUsage() - before
	u.run("rm", "-f", "web")
	if left := u.diskUsage() - before; used < 50<<20 || left > 1<<20 {
		u.t.Errorf("the container took %d bytes, and its removal leaves %d", used, left)
	}
}

// honoursStatOverrides compares the files that dpkg-statoverride lists with what it says.
func (u *user) honoursStatOverrides() {
	u.t.Helper()
	u.prints("", "exec", "web", "sh", "-c", `dpkg-statoverride --list | while read user group mode path; do
[ ! -e "$path" ] || [ "$(stat -c '%U %G %a' "$path")" = "$user $group ${mode#0}" ] || stat -c "%n: %U %G %a, not $user $group $mode" "$path"; done`)
}

// fetch returns the page at the root of a web server on the host's port.
func fetch(t *testing.T, port int) string {
	t.Helper()
	page := ""
	eventually(t, "the web server answers", func() bool {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			return false
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		page = string(text)
		return err == nil
	})
	return page
}
