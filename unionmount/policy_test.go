package unionmount

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
)

// everyID maps all ids to themselves.
var everyID = idmap.Map{{Size: 1<<32 - 1}}

func hostOwnedLayer() Layer {
	return Layer{Ownership: HostOwned, UIDs: everyID, GIDs: everyID, Unmapped: 65534}
}

// newHostUnion is newUnion with an upper and lowers as they are described by as.
func newHostUnion(t *testing.T, as Layer, lowers ...tree) *fixture {
	f := newUnion(t, lowers...)
	f.close()
	f.describe(as)
	f.open()
	return f
}

// describe changes what the layers of a union, which is not open, are.
func (f *fixture) describe(as Layer) {
	f.opts.UpperAs = &as
	for i := range f.opts.Lowers {
		dir := f.opts.Lowers[i].Dir
		f.opts.Lowers[i] = as
		f.opts.Lowers[i].Dir, f.opts.Lowers[i].StatXattr = dir, ""
	}
}

// rootIsMe describes trees in which root's files belong to the user of the tests.
func rootIsMe() Layer {
	as := hostOwnedLayer()
	as.UIDs, as.GIDs = idmap.Map{{Host: uint32(os.Getuid()), Size: 1}}, idmap.Map{{Host: uint32(os.Getgid()), Size: 1}}
	return as
}

func (f *fixture) xattrsOnDisk(path string) []string {
	f.t.Helper()
	names, err := f.u.upper.Xattrs.List(beneath.File{FD: unix.AT_FDCWD, Name: f.opts.Upper + "/" + path})
	must(f.t, err)
	slices.Sort(names)
	return names
}

// me makes entries as the user of the tests, whose they really are.
func (f *fixture) me() Owner { return Owner{uint32(os.Getuid()), uint32(os.Getgid())} }

func (f *fixture) mknod(path string, mode uint32, rdev uint64, owner Owner) error {
	return f.in(path, func(dir *Node, name string) error { return f.made(f.u.Mknod(dir, name, mode, rdev, owner)) })
}

func TestHostOwnedUpperIsPlain(t *testing.T) {
	f := newHostUnion(t, hostOwnedLayer(), tree{"low": file("low"), "d/x": file("x"),
		"big": file(strings.Repeat("b", 1<<20))})
	must(t, f.mknod("new", unix.S_IFREG|0o640, 0, f.me()))
	must(t, f.mknod("pipe", unix.S_IFIFO|0o666, 0, f.me()))
	must(t, f.in("link", func(dir *Node, name string) error {
		return f.made(f.u.Symlink(dir, name, "target", f.me()))
	}))
	must(t, f.chmod("new", 0o2751))
	must(t, f.chmod("big", 0o600))
	for name, mode := range map[string]uint32{"new": unix.S_IFREG | 0o2751, "pipe": unix.S_IFIFO | 0o666,
		"link": unix.S_IFLNK | 0o777, "big": unix.S_IFREG | 0o600} {
		var st unix.Stat_t
		must(t, unix.Lstat(f.opts.Upper+"/"+name, &st))
		if st.Mode != mode {
			t.Errorf("%s has mode %#o on disk, want %#o", name, st.Mode, mode)
		}
	}
	if names := f.xattrsOnDisk("new"); len(names) > 0 {
		t.Errorf("a new file has the xattrs %q", names)
	}
	// Other readers of the upper know no references: a copy is whole.
	if data, err := os.ReadFile(f.opts.Upper + "/big"); err != nil || len(data) != 1<<20 || data[0] != 'b' {
		t.Errorf("%d bytes were copied up, %v", len(data), err)
	}
	f.reopen()
	f.want("low", "low")
	if a := f.stat("new"); a.Mode != unix.S_IFREG|0o2751 || a.UID != uint32(os.Getuid()) {
		t.Errorf("after reopening: %+v", a)
	}
}

func TestHostOwnedDeletions(t *testing.T) {
	f := newHostUnion(t, hostOwnedLayer(), tree{"low": file("low"), "d/x": file("x")})
	must(t, f.unlink("low"))
	must(t, f.unlink("d/x"))
	must(t, f.rmdir("d"))
	must(t, f.in("d", func(dir *Node, name string) error { return f.made(f.u.Mkdir(dir, name, 0o755, f.me())) }))
	for range 2 {
		f.want("low", gone)
		f.wantNames("d")
		f.reopen()
	}
	want := []string{layerfmt.FuseOpaqueXattr, layerfmt.OpaqueXattr}
	if os.Getuid() == 0 {
		want = []string{layerfmt.PrivilegedOpaqueXattr}
	}
	if got := f.xattrsOnDisk("d"); !slices.Equal(got, want) {
		t.Errorf("the directory that took the place of a removed one is marked %q, want %q", got, want)
	}
	wantErrno(t, "making of a whiteout", f.mknod("w", unix.S_IFCHR|0o600, 0, f.me()), unix.EPERM)
}

// TestHostOwnedReadOnlyFiles has a server without privileges change what its own permissions forbid.
func TestHostOwnedReadOnlyFiles(t *testing.T) {
	f := newHostUnion(t, hostOwnedLayer(), tree{"low": file("low").mode(0o400)})
	must(t, f.mknod("new", unix.S_IFREG|0o400, 0, f.me()))
	must(t, f.write("new", "data", 0))
	must(t, f.write("low", "LOW", 0))
	must(t, f.at("new", func(n *Node) error { return f.u.SetXattr(n, "user.note", []byte("x"), 0) }))
	f.reopen()
	f.want("new", "data")
	f.want("low", "LOW")
	for _, name := range []string{"new", "low"} {
		if a := f.stat(name); a.Mode != unix.S_IFREG|0o400 {
			t.Errorf("%s has mode %#o", name, a.Mode)
		}
	}
}

func TestHostOwnedXattrs(t *testing.T) {
	escaped := file("").attr("user.rcrun.x.user.overlay.opaque", "nested")
	escaped = escaped.attr("user.rcrun.x.security.capability", "forged")
	f := newHostUnion(t, hostOwnedLayer(), tree{"low": escaped})
	names := []string{"user.note", "user.overlay.opaque", "user.containers.override_stat", "security.mark"}
	must(t, f.mknod("new", unix.S_IFREG|0o644, 0, f.me()))
	must(t, f.at("new", func(n *Node) error {
		for _, name := range names {
			if err := f.u.SetXattr(n, name, []byte(name), 0); err != nil {
				return err
			}
		}
		return nil
	}))
	slices.Sort(names)
	f.reopen()
	must(t, f.at("new", func(n *Node) error {
		seen, err := f.u.ListXattr(n)
		slices.Sort(seen)
		if !slices.Equal(seen, names) {
			t.Errorf("listed %q, want %q", seen, names)
		}
		return err
	}))
	for _, name := range f.xattrsOnDisk("new") {
		if name != "user.note" && !strings.HasPrefix(name, layerfmt.EscapePrefix) {
			t.Errorf("%s is on disk under its own name", name)
		}
	}
	must(t, f.at("low", func(n *Node) error {
		seen, err := f.u.ListXattr(n)
		if !slices.Equal(seen, []string{"user.overlay.opaque"}) {
			t.Errorf("of a lower file listed %q", seen)
		}
		return err
	}))
}

// TestXattrsOfLinks gives symbolic links xattrs, of which those that users can set on disk are not for links.
func TestXattrsOfLinks(t *testing.T) {
	set := func(f *fixture, name, attr string) error {
		return f.at(name, func(n *Node) error { return f.u.SetXattr(n, attr, []byte("value"), 0) })
	}
	host := newHostUnion(t, hostOwnedLayer(), tree{"low": symlink("target")})
	wantErrno(t, "setxattr", set(host, "low", "security.mark"), unix.EOPNOTSUPP)
	if _, err := os.Lstat(host.opts.Upper + "/low"); err == nil {
		t.Error("a link was copied up for what it cannot have")
	}
	if os.Geteuid() == 0 && encoding.InFirstUserNamespace() {
		must(t, set(host, "low", "trusted.mark"))
	} else {
		wantErrno(t, "setxattr", set(host, "low", "trusted.mark"), unix.EPERM)
	}

	own := newUnion(t, tree{"low": symlink("target")})
	must(t, own.symlink("target", "new"))
	for _, name := range []string{"low", "new"} {
		ino := own.stat(name).Ino
		must(t, set(own, name, "security.mark"))
		own.reopen()
		must(t, own.at(name, func(n *Node) error {
			value, err := own.u.GetXattr(n, "security.mark")
			if string(value) != "value" {
				t.Errorf("%s has the value %q", name, value)
			}
			return err
		}))
		if a := own.stat(name); a.Mode&unix.S_IFMT != unix.S_IFLNK || a.Ino != ino || a.Size != 6 {
			t.Errorf("%s became %+v", name, a)
		}
	}
}

func TestHostOwnedMaps(t *testing.T) {
	me := Owner{uint32(os.Getuid()), uint32(os.Getgid())}
	as := hostOwnedLayer()
	as.UIDs, as.GIDs = idmap.Map{{Container: 40, Host: me.UID, Size: 1}},
		idmap.Map{{Container: 50, Host: me.GID, Size: 1}}
	as.Unmapped = 0
	f := newHostUnion(t, as, tree{"low": file("low")})
	must(t, f.mknod("new", unix.S_IFREG|0o644, 0, Owner{40, 50}))
	must(t, f.write("low", "LOW", 0))
	for _, name := range []string{"low", "new"} {
		if a := f.stat(name); a.UID != 40 || a.GID != 50 {
			t.Errorf("%s is %d:%d's", name, a.UID, a.GID)
		}
	}
	wantErrno(t, "making for an unmapped owner", f.mknod("other", unix.S_IFREG|0o644, 0, Owner{41, 50}), unix.EINVAL)
	wantErrno(t, "chown to an unmapped owner", f.chown("new", 41, 50), unix.EINVAL)
	f.want("other", gone)
}

func TestAnnotatedUpper(t *testing.T) {
	as := hostOwnedLayer()
	as.StatXattr = layerfmt.StatXattr
	f := newHostUnion(t, as, tree{"low": file("low")})
	if got := f.xattrsOnDisk("."); !slices.Contains(got, layerfmt.StatXattr) {
		t.Errorf("the root has only %q", got)
	}
	must(t, f.mknod("new", unix.S_IFREG, 0, Owner{0, 0}))
	must(t, f.mknod("null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3), Owner{0, 6}))
	must(t, f.chown("low", 5, 6))
	must(t, f.chmod("low", 0o4711))
	must(t, f.setXattr("new", encoding.CapsXattr, "capabilities, which are root's to give on disk"))
	if got := f.xattrsOnDisk("new"); !slices.Equal(got,
		[]string{layerfmt.StatXattr, layerfmt.EscapePrefix + encoding.CapsXattr}) {
		t.Errorf("on disk, there are %q", got)
	}
	f.reopen()
	must(t, f.at("new", func(n *Node) error {
		_, err := f.u.GetXattr(n, encoding.CapsXattr)
		return err
	}))
	for name, want := range map[string]Attr{"new": {Mode: unix.S_IFREG},
		"null": {Mode: unix.S_IFCHR | 0o666, GID: 6, Rdev: unix.Mkdev(1, 3)},
		"low":  {Mode: unix.S_IFREG | 0o4711, UID: 5, GID: 6}} {
		if a := f.stat(name); a.Mode != want.Mode || a.UID != want.UID || a.GID != want.GID || a.Rdev != want.Rdev {
			t.Errorf("%s: %+v, want %+v", name, a, want)
		}
	}
	must(t, f.at("low", func(n *Node) error {
		names, err := f.u.ListXattr(n)
		if len(names) > 0 {
			t.Errorf("a container sees %q", names)
		}
		return err
	}))
}

// TestAnnotatedLower reads what fuse-overlayfs 1.10 writes: its own xattr, with the type's bits.
func TestAnnotatedLower(t *testing.T) {
	f := newHostUnion(t, hostOwnedLayer(), tree{
		"a":   file("a").attr(layerfmt.FormerStatXattr, "5:6:100750"),
		"d":   directory().attr(layerfmt.FormerStatXattr, "7:8:41777"),
		"bad": file("").attr(layerfmt.FormerStatXattr, "7:8:41777"),
	})
	if a := f.stat("a"); a.UID != uint32(os.Getuid()) {
		t.Errorf("without the mark at the root, a is %d's", a.UID)
	}
	f.close()
	must(t, unix.Setxattr(f.opts.Lowers[0].Dir, layerfmt.FormerStatXattr, []byte("1:2:40755"), 0))
	f.open()
	if a := f.stat("a"); a.UID != 5 || a.GID != 6 || a.Mode != unix.S_IFREG|0o750 {
		t.Errorf("a: %+v", a)
	}
	if a := f.stat("d"); a.UID != 7 || a.GID != 8 || a.Mode != unix.S_IFDIR|0o1777 {
		t.Errorf("d: %+v", a)
	}
	f.want("bad", "!input/output error")
}

// TestHostOwnedACLs has ACLs be real ones on disk, with ids translated.
func TestHostOwnedACLs(t *testing.T) {
	me := uint32(os.Getuid())
	f := newHostUnion(t, rootIsMe(), tree{"low": file("low")})
	const nobody = 1<<32 - 1 // what the kernel puts where no id belongs
	of := func(id uint32) string {
		return rawACL([3]uint32{userObj, 6, nobody}, [3]uint32{user, 4, id}, [3]uint32{groupObj, 0, nobody},
			[3]uint32{mask, 4, nobody}, [3]uint32{other, 0, nobody})
	}
	must(t, f.mknod("new", unix.S_IFREG|0o644, 0, Owner{}))
	set := func(n *Node) error { return f.u.SetXattr(n, encoding.AccessACL, []byte(of(0)), 0) }
	if err := f.at("new", set); errnoOf(err) == unix.EOPNOTSUPP {
		t.Skip("no ACLs on this filesystem")
	} else {
		must(t, err)
	}
	must(t, f.at("low", set))
	f.reopen()
	for _, name := range []string{"new", "low"} {
		value, err := xattrOf(f.opts.Upper+"/"+name, encoding.AccessACL)
		must(t, err)
		if string(value) != of(me) {
			t.Errorf("%s: on disk, the ACL is %x, want user %d in it", name, value, me)
		}
		must(t, f.at(name, func(n *Node) error {
			seen, err := f.u.GetXattr(n, encoding.AccessACL)
			if string(seen) != of(0) {
				t.Errorf("%s: the ACL is seen as %v", name, seen)
			}
			return err
		}))
		if got := f.stat(name); got.Mode != unix.S_IFREG|0o640 {
			t.Errorf("%s has mode %#o", name, got.Mode)
		}
	}
}

func xattrOf(path, name string) ([]byte, error) {
	buf := make([]byte, 1024)
	n, err := unix.Lgetxattr(path, name, buf)
	return buf[:max(n, 0)], err
}
