package tests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newBareUser returns a user whose data directory is on a bare filesystem.
func newBareUser(t *testing.T) *user {
	u := newUser(t)
	data := u.path("data")
	u.mountBare(data)
	u.setenv("XDG_DATA_HOME", data)
	return u
}

// leaveContainers removes the user's containers.
func (u *user) leaveContainers() {
	u.t.Helper()
	if ids := strings.Fields(u.run("ps", "-aq")); len(ids) > 0 {
		u.run(append([]string{"rm", "-f"}, ids...)...)
	}
}

// ownersLayer is a tar of what plain files of one user cannot show, upon a busybox.
func ownersLayer(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, hdr := range []tar.Header{
		{Name: "srv/", Typeflag: tar.TypeDir, Mode: 0o2770, Uid: 33, Gid: 33},
		{Name: "srv/page", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 33, Gid: 34},
		{Name: "srv/again", Typeflag: tar.TypeLink, Linkname: "srv/page"},
		{Name: "srv/link", Typeflag: tar.TypeSymlink, Linkname: "page", Uid: 5, Gid: 6, Mode: 0o777},
		{Name: "srv/disk", Typeflag: tar.TypeBlock, Mode: 0o660, Gid: 6, Devmajor: 8, Devminor: 1},
		{Name: "srv/pipe", Typeflag: tar.TypeFifo, Mode: 0o622, Uid: 7},
		{Name: "srv/su", Typeflag: tar.TypeReg, Mode: 0o4755},
		{Name: "srv/caps", Typeflag: tar.TypeReg, Mode: 0o755,
			PAXRecords: map[string]string{"SCHILY.xattr.user.note": "noted"}},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
	} {
		if err := w.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const listOwners = `cd /srv; for f in . page again link disk pipe su caps /tmp; do stat -c "%n %F %a %u:%g %t,%T %h" $f; done`

const listedOwners = `. directory 2770 33:33 0,0 2
page regular empty file 640 33:34 0,0 2
again regular empty file 640 33:34 0,0 2
link symbolic link 777 5:6 0,0 1
disk block special file 660 0:6 8,1 1
pipe fifo 622 7:0 0,0 1
su regular empty file 4755 0:0 0,0 1
caps regular empty file 755 0:0 0,0 1
/tmp directory 1777 0:0 0,0 2`

// TestBareStore lives in a store on a filesystem that keeps no xattrs, changes no owners and makes no devices.
func TestBareStore(t *testing.T) {
	u := newBareUser(t)
	contains(t, u.run("info"), "User Xattrs: false",
		"Layer Encoding: files of the caller's, owners in indexes and records")
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t), ownersLayer(t))
	name := u.put(server.host, "app:v1", p)
	u.prints(p.id(t), "pull", "-q", name)
	u.prints(listedOwners, "run", "--rm", "--network", "none", name, "sh", "-c", listOwners)
	u.run("store", "check", "--deep")
	u.savesWhatCame(name, p)
	u.changesAndKeeps(name)
	u.commitsAndExports(name)
	u.run("store", "check", "--deep")
	u.run("rm", "cc")
	u.run("rmi", "-f", "changed", name)
	u.prints("", "images", "-q")
	u.run("store", "check", "--deep")
}

// savesWhatCame saves an image and loads it again: its layers have the digests that they had.
func (u *user) savesWhatCame(name string, p picture) {
	u.t.Helper()
	path := u.path("home", "saved.tar")
	u.run("save", "-o", path, name)
	if got := savedLayers(u.t, path); !slices.Equal(got, p.config.RootFS.DiffIDs) {
		u.t.Errorf("saved the layers %v, want %v", got, p.config.RootFS.DiffIDs)
	}
	u.run("rmi", name)
	u.run("load", "-q", "-i", path)
	u.prints(listedOwners, "run", "--rm", "--network", "none", name, "sh", "-c", listOwners)
}

// changesAndKeeps changes what plain files cannot show, as several users, and finds it again in a container that was
// started again.
func (u *user) changesAndKeeps(name string) {
	u.t.Helper()
	u.run("run", "-d", "--name", "cc", "--network", "none", name, "sleep", "1000")
	u.run("exec", "cc", "sh", "-ec", `
cd /srv
chown 12:13 page; chmod 4711 su; mkfifo -m 640 new-pipe; chown 3:4 new-pipe
mkdir -m 3775 made; touch made/f; chown 44:45 made made/f; chmod 6755 made/f
ln made/f made/g; ln -s nowhere made/l; chown -h 8:9 made/l
mv made moved; rm caps; mkdir caps; chown 1:1 caps
mv /etc /etc2; mkdir /etc; mv /etc2 /etc/old; rm -r /home || true; mkdir /home
exec 3>gone; rm gone; echo still >&3; stat -L -c %h /proc/self/fd/3 >/srv/links`)
	want := `page 640 12:13 2
again 640 12:13 2
su 4711 0:0 1
new-pipe 640 3:4 1
moved 3775 44:45 2
moved/f 6755 44:45 2
moved/g 6755 44:45 2
moved/l 777 8:9 1
caps 2755 1:1 2`
	const list = `cd /srv; for f in page again su new-pipe moved moved/f moved/g moved/l caps; do stat -c "%n %a %u:%g %h" $f; done; cat links; ls -A /home`
	want += "\n0"
	u.prints(want, "exec", "cc", "sh", "-c", list)
	u.run("stop", "-t", "0", "cc")
	u.run("start", "cc")
	u.prints(want, "exec", "cc", "sh", "-c", list)
	u.run("kill", "cc")
	u.try("wait", "cc")
	u.run("commit", "cc", "kept")
	u.prints(want, "run", "--rm", "--network", "none", "kept", "sh", "-c", list)
	u.run("rmi", "kept")
}

// commitsAndExports makes images of what a container has, in all ways.
func (u *user) commitsAndExports(name string) {
	u.t.Helper()
	diff := u.run("diff", "cc")
	contains(u.t, diff, "C /srv/page", "C /srv/again", "A /srv/moved/f", "A /etc/old")
	u.run("commit", "cc", "changed")
	exported := u.path("home", "exported.tar")
	u.run("export", "-o", exported, "cc")
	found := map[string]string{}
	for entry, what := range readTar(u.t, exported) {
		found[entry] = what
	}
	for entry, want := range map[string]string{"srv/page": "f 640 12 13", "srv/new-pipe": "p 640 3 4",
		"srv/moved": "d 3775 44 45", "srv/disk": "b 660 0 6", "srv/link": "l 777 5 6 page"} {
		if found[entry] != want {
			u.t.Errorf("exported %s is %q, want %q", entry, found[entry], want)
		}
	}
}

// TestBareDebian compares all files of a Debian container with the tar.
func TestBareDebian(t *testing.T) {
	u := newBareUser(t)
	u.run("import", "-c", `CMD ["bash"]`, debianTar(), "debian:12")
	u.hasAllFilesOf(debianTar())
	u.run("run", "--name", "users", "--network", "none", "debian:12", "sh", "-ec", `
install -d -o www-data -g www-data -m 2750 /srv/www; install -o root -g shadow -m 640 /etc/hostname /srv/secret
touch /srv/www/root; su -s /bin/sh www-data -c 'echo mine >/srv/www/mine; ! cat /srv/secret 2>/dev/null'
`+setXattrs)
	u.run("commit", "users", "used")
	u.prints("drwxr-s--- www-data www-data\n-rw-r----- root shadow\n-rw-r--r-- www-data www-data\n-rw-r--r-- root "+
		"www-data", "run", "--rm", "--network", "none", "used",
		"stat", "-c", "%A %U %G", "/srv/www", "/srv/secret", "/srv/www/mine", "/srv/www/root")
	u.prints("noted", "run", "--rm", "--network", "none", "used", "perl", "-e", getXattr)
	u.run("store", "check", "--deep")
}

// setXattrs and getXattr are programs for a Debian, which has no commands for it. The numbers are those of the system
// calls.
var (
	setXattrs = fmt.Sprintf(`perl -e '($p, $n, $v) = ("/srv/www/mine", "user.note", "noted"); syscall(%d, $p, $n, $v, 5, 0) == 0 or die $!'`, unix.SYS_SETXATTR)
	getXattr  = fmt.Sprintf(`($p, $n, $v) = ("/srv/www/mine", "user.note", "\0" x 9); $l = syscall(%d, $p, $n, $v, 9); print substr($v, 0, $l)`, unix.SYS_GETXATTR)
)

// TestBareIndexLost loses and spoils the index of an image layer: the layer is broken, and nobody sees wrong owners.
func TestBareIndexLost(t *testing.T) {
	u := newUser(t)
	u.setenv("RCRUN_XATTRS", "off")
	u.importImage("bb", busyboxTree(t), "-c", `CMD ["sh"]`)
	indexes, err := filepath.Glob(u.path("home/.local/share/rcrun/storage/fuse/dir/*/index"))
	if err != nil || len(indexes) != 1 {
		t.Fatalf("%q, %v", indexes, err)
	}
	whole, err := os.ReadFile(indexes[0])
	if err != nil {
		t.Fatal(err)
	}
	spoilt := slices.Clone(whole)
	spoilt[len(spoilt)/2] ^= 1
	for what, data := range map[string][]byte{"lost": nil, "cut off": whole[:len(whole)/2], "spoilt": spoilt} {
		if err := os.RemoveAll(indexes[0]); err != nil {
			t.Fatal(err)
		}
		if data != nil {
			if err := os.WriteFile(indexes[0], data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := u.try("store", "check")
		if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "pull or load its image again") {
			t.Errorf("%s: exit code %d\n%s%s", what, r.code, r.stdout, r.stderr)
		}
		if r := u.try("run", "--rm", "--network", "none", "bb", "ls", "-lR", "/bin", "/etc"); r.code == 0 {
			t.Errorf("%s: it runs", what)
		}
	}
	if err := os.WriteFile(indexes[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	u.run("store", "check", "--deep")
}

// TestStoreLosesXattrs has a store with xattrs be on a filesystem without: nobody is shown wrong owners.
func TestStoreLosesXattrs(t *testing.T) {
	u := newBareUser(t)
	store := u.path("data", "rcrun", "storage", "fuse")
	if err := os.MkdirAll(filepath.Join(store, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	u.fails(125, []string{"have their owners in xattrs", "keeps none", store}, "images")
	if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	}
	u.prints("", "images", "-q")
}

// TestBareUnion mounts a union of directories on a bare filesystem.
func TestBareUnion(t *testing.T) {
	u := newUserBeside(t, hostMounts.RLocker())
	dir := u.path("data")
	u.mountBare(dir)
	for _, name := range []string{"low/d", "up", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "low/d/f"), []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("squash_to_uid=%d,squash_to_gid=%d,", os.Getuid(),
		os.Getgid()) + "ownership=caller,lowerdir=" + dir + "/low,upperdir=" + dir + "/up,workdir=" + dir + "/work"
	mnt := u.path("mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		u.run("union", "mount", "-o", options, mnt)
		if err := os.Chmod(mnt+"/d/f", 0o511|os.ModeSetuid); err != nil {
			t.Error(err)
		}
		u.run("union", "unmount", mnt)
	}
	u.run("union", "mount", "-o", options, mnt)
	if info, err := os.Stat(mnt + "/d/f"); err != nil || info.Mode() != 0o511|os.ModeSetuid || info.Size() != 4 {
		t.Errorf("%v, %v", info, err)
	}
	u.run("union", "unmount", mnt)
	if err := os.Remove(dir + "/work/xattrs"); err != nil {
		t.Fatal(err)
	}
	u.fails(125, []string{"work/xattrs", "not empty"}, "union", "mount", "-o", options, mnt)
}

// TestBareUnionWithDevices removes and makes directories, and renames them, where whiteouts are devices and no two
// files can change places.
func TestBareUnionWithDevices(t *testing.T) {
	u := newUserBeside(t, hostMounts.RLocker())
	dir := u.path("data")
	u.mountBare(dir, "devices")
	for _, name := range []string{"low/made", "low/moved", "low/both", "up", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mnt := u.path("mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func() {
		u.run("union", "mount", "-o",
			fmt.Sprintf("squash_to_uid=%d,squash_to_gid=%d,ownership=caller,"+
				"lowerdir=%[3]s/low,upperdir=%[3]s/up,workdir=%[3]s/work",
				os.Getuid(), os.Getgid(), dir), mnt)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	mount()
	must(os.Remove(mnt + "/made"))
	if info, err := os.Lstat(dir + "/up/made"); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Errorf("the whiteout is no device: %v, %v", info, err)
	}
	must(os.Mkdir(mnt+"/made", 0o700|os.ModeSticky)) // in the place of the device
	must(os.WriteFile(mnt+"/made/new", nil, 0o644))
	must(os.Remove(mnt + "/moved"))
	must(os.Rename(mnt+"/made", mnt+"/moved")) // the same, and a whiteout where it was
	must(os.WriteFile(mnt+"/both/x", nil, 0o644))
	must(os.Remove(mnt + "/both/x"))
	must(os.Remove(mnt + "/both")) // of which the upper has a part
	must(os.WriteFile(mnt+"/other", nil, 0o644))
	if err := unix.Renameat2(unix.AT_FDCWD, mnt+"/moved", unix.AT_FDCWD, mnt+"/other",
		unix.RENAME_EXCHANGE); err != unix.EINVAL {
		t.Errorf("two files change places: %v", err)
	}
	must(os.Remove(mnt + "/other"))
	for range 2 {
		if names := u.entries("mnt"); !slices.Equal(names, []string{"moved"}) {
			t.Errorf("%q", names)
		}
		if names := u.entries("mnt", "moved"); !slices.Equal(names, []string{"new"}) {
			t.Errorf("%q", names)
		}
		if info, err := os.Stat(mnt + "/moved"); err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o700 {
			t.Errorf("%v, %v", info, err)
		}
		u.run("union", "unmount", mnt)
		mount()
	}
	u.run("union", "unmount", mnt)
}
