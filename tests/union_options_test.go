package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"golang.org/x/sys/unix"
)

// TestMisspelledUnionOptions has options misspelled without which nothing could be written, or files had other owners:
// there is no mount. What nobody knows is an error of rcrun's own verb, and a warning of the program that is called
// like fuse-overlayfs.
func TestMisspelledUnionOptions(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	for option, meant := range map[string]string{"upprdir=upper,workdir=work": "upperdir",
		"top=upper": "names a directory", "squash_to_rot": "squash_to_root", "upperdir=": "no directory"} {
		u.fails(125, []string{strings.SplitN(option, ",", 2)[0], meant}, "union", "mount", "-o",
			"lowerdir=lower,"+option, "mnt")
		r := u.finish(u.command(u.path("fuse-rcrun"), "-o", "lowerdir=lower,"+option, "mnt"))
		if r.code != 1 || !strings.Contains(r.stderr, meant) {
			t.Errorf("%s: exit code %d, %s", option, r.code, r.stderr)
		}
	}
	u.fails(125, []string{"unheard_of=1", "unknown", "--help"}, "union", "mount", "-o", "lowerdir=lower,unheard_of=1",
		"mnt")
	u.fails(125, []string{"workdir without upperdir"}, "union", "mount", "-o", "lowerdir=lower,workdir=work", "mnt")
	u.inHome(`if grep -q " $PWD/mnt " /proc/self/mountinfo; then exit 1; fi`)
	r := u.finish(u.command(u.path("fuse-rcrun"), "--unheard", "-o", "lowerdir=lower,unheard_of=1,xino=auto", "mnt"))
	if want := "unknown argument ignored: --unheard\nunknown argument ignored: unheard_of=1\n"; r.code != 0 ||
		r.stderr != want {
		t.Errorf("exit code %d, %q", r.code, r.stderr)
	}
	u.run("union", "unmount", "mnt")
}

// TestUnionOptions mounts with options, one at a time, and shows what each does.
func TestUnionOptions(t *testing.T) {
	u := newUnionUser(t)
	xattrs := fmt.Sprintf(`
		setxattr() { perl -e 'syscall(%d, @ARGV, length $ARGV[2], 0) == 0 or print "$!\n"' $1 $2 $3; }
		getxattr() { perl -e '$v = "\0" x 99; $n = syscall(%d, @ARGV, $v, 99);
			print $n < 0 ? $! : substr($v, 0, $n), "\n"' $1 $2; }
		setacl() { perl -e '$n = "system.posix_acl_access";
			$v = pack "V(vvV)5", 2, 1,6,0, 2,4,1, 4,4,0, 16,4,0, 32,4,0;
			syscall(%d, @ARGV, $n, $v, length $v, 0) == 0 or print "$!\n"' $1; }
		`, unix.SYS_SETXATTR, unix.SYS_GETXATTR, unix.SYS_SETXATTR)
	const userXattrs = `touch mnt/new; setxattr mnt/new user.a b; getxattr mnt/new user.a; getxattr mnt/file user.low`
	for option, c := range map[string]struct{ script, want string }{
		"noxattrs=0":       {userXattrs, "b\nx"},
		"noxattrs=1":       {userXattrs, "Operation not supported\nNo data available\nx"},
		"lowerdir+=second": {`cat mnt/file mnt/two`, "low\n2"},
		"lowerdir=second":  {`cat mnt/file mnt/two`, "other\n2"},
		"noacl":            {`touch mnt/new; setacl mnt/new; stat -c %a mnt/new`, "Operation not supported\n644"},
		"static_nlink":     {`stat -c %h mnt/dir`, "1"},
		"squash_to_root":   {`stat -c %u:%g mnt/file`, "0:0"},
		"noexec":           {`cp /bin/true mnt/t; mnt/t 2>/dev/null || echo refused`, "refused"},
		"nosymfollow":      {`ln -s file mnt/link; cat mnt/link 2>/dev/null || readlink mnt/link`, "file"},
		"ro":               {`touch mnt/new 2>/dev/null || echo refused`, "refused"},
		"size=1m":          {`head -c 2000000 /dev/zero 2>/dev/null >mnt/big || echo full`, "full"},
		"inodes=2":         {`touch mnt/1 mnt/2 mnt/3 2>/dev/null || echo full`, "full"},
		"redirect_dir=on": {`perl -e 'rename "mnt/dir", "mnt/dir2"'; ls mnt/dir2 upper/dir2`,
			"mnt/dir2:\nx\n\nupper/dir2:"},
		"metacopy=on": {`chmod 600 mnt/big1; stat -c %b upper/big1 | tr 0-8 s`, "s"},
		"direct_io": {`cat mnt/file >/dev/null; cat mnt/file >/dev/null
			$RCRUN union stats --format '{{.requests.read}}' mnt`, "4"},
		"attr_timeout=0": {`stat mnt/file >/dev/null; stat mnt/file >/dev/null
			test $($RCRUN union stats --format '{{.requests.getattr}}' mnt) -gt 1`, ""},
		"volatile": {`dd if=/dev/zero of=mnt/new bs=1 count=1 conv=fsync 2>/dev/null; stat -c %s upper/new`,
			"1"},
		"fsname=name":  {`findmnt -n -o SOURCE mnt`, "name"},
		"subtype=kind": {`findmnt -n -o FSTYPE mnt`, "fuse.kind"},
		"xattr_permissions=2": {`chmod 640 mnt/file; stat -c %a mnt/file; getxattr upper/file ` + layerfmt.StatXattr,
			"640\n0:0:0640:file"},
		"ino32_t":          {`test $(stat -c %i mnt/file) -lt 4294967296`, ""},
		"uidmapping=0:5:1": {`stat -c %u mnt/file`, "5"},
		"gidmapping=0:5:1": {`stat -c %g mnt/file`, "5"},
		"nodev,nosuid": {`grep -o "$PWD/mnt [^ ]* " /proc/self/mountinfo | cut -d" " -f 2`,
			"rw,nosuid,nodev,noatime"},
		"dirsync,sync": {`grep " $PWD/mnt " /proc/self/mountinfo | grep -o " rw,sync,dirsync"`, " rw,sync,dirsync"},
		"max_threads=1,xino=auto,index=on,userxattr,uuid=null,plugins=x,fast_ino=1": {`cat mnt/file`, "low"},
	} {
		got := u.asRoot(xattrs + makeLayers + `mkdir second; echo other >second/file; echo 2 >second/two; setxattr lower/file user.low x
			head -c 100000 /dev/zero >lower/big1
			umask 022; $OURS -o lowerdir=lower,upperdir=upper,workdir=work,` + option + " mnt\n" + c.script + "\n" +
			`umount mnt; rm -rf lower upper work second mnt`)
		if got != c.want {
			t.Errorf("%s: %q, want %q", option, got, c.want)
		}
	}
}
