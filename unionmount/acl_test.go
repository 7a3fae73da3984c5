package unionmount

import (
	"encoding/binary"
	"testing"

	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"golang.org/x/sys/unix"
)

// The tags of ACL entries.
const (
	userObj  = 0x01
	user     = 0x02
	groupObj = 0x04
	group    = 0x08
	mask     = 0x10
	other    = 0x20
)

// rawACL returns the xattr value of an ACL, given tag, permissions and id of its entries.
func rawACL(entries ...[3]uint32) string {
	value := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		value = binary.LittleEndian.AppendUint16(value, uint16(e[0]))
		value = binary.LittleEndian.AppendUint16(value, uint16(e[1]))
		value = binary.LittleEndian.AppendUint32(value, e[2])
	}
	return string(value)
}

// aclOf returns the xattr value of an ACL that gives user 7 and group 8 some permissions besides those of a mode.
func aclOf(mode, user7, group8 uint32) string {
	bits := func(shift int) uint32 { return mode >> shift & 7 }
	none := ^uint32(0)
	return rawACL([3]uint32{userObj, bits(6), none}, [3]uint32{user, user7, 7}, [3]uint32{groupObj, 5, none},
		[3]uint32{group, group8, 8}, [3]uint32{mask, bits(3), none}, [3]uint32{other, bits(0), none})
}

func (f *fixture) xattr(path, name string) string {
	f.t.Helper()
	value := ""
	err := f.at(path, func(n *Node) error {
		v, err := f.u.GetXattr(n, name)
		value = string(v)
		return err
	})
	if err != nil {
		return "!" + errnoOf(err).Error()
	}
	return value
}

const noACL = "!no data available"

func (f *fixture) wantACL(path, name, want string, perm uint32) {
	f.t.Helper()
	if got := f.xattr(path, name); got != want {
		f.t.Errorf("%s of %s: %x, want %x", name, path, got, want)
	}
	if mode := f.stat(path).Mode & 0o7777; mode != perm {
		f.t.Errorf("%s: mode %o, want %o", path, mode, perm)
	}
}

func TestAccessACL(t *testing.T) {
	f := newUnion(t, tree{"f": file(bigData)})
	must(t, f.setXattr("f", encoding.AccessACL, aclOf(0o760, 6, 2)))
	f.remounted(func() { f.wantACL("f", encoding.AccessACL, aclOf(0o760, 6, 2), 0o760) })
	f.wantBorrowed("f", true, bigData)
	must(t, f.chmod("f", 0o4751))
	f.remounted(func() { f.wantACL("f", encoding.AccessACL, aclOf(0o751, 6, 2), 0o4751) })
	must(t, f.write("f", "x", 0))
	f.wantACL("f", encoding.AccessACL, aclOf(0o751, 6, 2), 0o4751)
	must(t, f.at("f", func(n *Node) error { return f.u.RemoveXattr(n, encoding.AccessACL) }))
	f.wantACL("f", encoding.AccessACL, noACL, 0o4751)
	must(t, f.at("f", func(n *Node) error { return f.u.RemoveXattr(n, encoding.AccessACL) }))
	must(t, f.chmod("f", 0o2755))
	must(t, f.at("f", func(n *Node) error {
		plain := rawACL([3]uint32{userObj, 6, 0}, [3]uint32{groupObj, 4, 0}, [3]uint32{other, 0, 0})
		return f.u.SetXattr(n, encoding.AccessACL, []byte(plain), XattrKillSgid)
	}))
	f.wantACL("f", encoding.AccessACL, noACL, 0o640) // which says it all
}

func TestDefaultACL(t *testing.T) {
	f := newUnion(t, tree{"d": directory(), "plain": directory()})
	value := aclOf(0o770, 7, 5)
	must(t, f.setXattr("d", encoding.DefaultACL, value))
	f.wantACL("d", encoding.DefaultACL, value, 0o755)
	f.remounted(func() {
		must(t, f.create("d/f", 0o664))
		must(t, f.mkdir("d/sub", 0o755))
		must(t, f.symlink("x", "d/l"))
		must(t, f.create("d/sub/g", 0o600))
		f.wantACL("d/f", encoding.AccessACL, aclOf(0o660, 7, 5), 0o660)
		f.wantACL("d/sub", encoding.AccessACL, aclOf(0o750, 7, 5), 0o750)
		f.wantACL("d/sub", encoding.DefaultACL, value, 0o750)
		f.wantACL("d/sub/g", encoding.AccessACL, aclOf(0o600, 7, 5), 0o600)
		f.wantACL("d/l", encoding.AccessACL, noACL, 0o777)
		must(t, f.at("d", func(n *Node) error {
			if mode := f.u.Masked(n, 0o666, 0o022); mode != 0o666 {
				t.Errorf("%o", mode)
			}
			made, a, err := f.u.Tmpfile(n, 0o666, Owner{})
			if err == nil && a.Mode != unix.S_IFREG|0o660 {
				t.Errorf("%o", a.Mode)
			}
			return f.made(made, a, err)
		}))
		for _, path := range []string{"d/f", "d/l", "d/sub/g"} {
			must(t, f.unlink(path))
		}
		must(t, f.rmdir("d/sub"))
	})
	must(t, f.setXattr("d", encoding.DefaultACL, ""))
	must(t, f.create("d/f", 0o664))
	f.wantACL("d/f", encoding.AccessACL, noACL, 0o664)
	must(t, f.at("plain", func(n *Node) error {
		if mode := f.u.Masked(n, 0o666, 0o022); mode != 0o644 {
			t.Errorf("%o", mode)
		}
		return nil
	}))
	wantErrno(t, "default ACL of a file", f.setXattr("d/f", encoding.DefaultACL, value), unix.EACCES)
}

func TestBadACL(t *testing.T) {
	f := newUnion(t, tree{"f": file("")})
	good := aclOf(0o640, 6, 6)
	for _, bad := range []string{"x", "\x01\x00\x00\x00", good[:len(good)-8], good[:12] + good[4:],
		good[:6] + "\x08" + good[7:]} {
		wantErrno(t, "bad ACL", f.setXattr("f", encoding.AccessACL, bad), unix.EINVAL)
	}
}

func TestTmpfile(t *testing.T) {
	f := newUnion(t, tree{"d/lower": file("")})
	must(t, f.at("d", func(dir *Node) error {
		n, a, err := f.u.Tmpfile(dir, 0o4640, Owner{3, 4})
		must(t, err)
		if a.Nlink != 0 || a.Mode != unix.S_IFREG|0o4640 || a.UID != 3 || a.GID != 4 {
			t.Errorf("%+v", a)
		}
		_, err = f.u.Write(n, []byte("data"), 0, asRoot)
		must(t, err)
		_, err = f.u.Link(n, dir, "named")
		must(t, err)
		f.u.Forget(n, 2)
		n, a, err = f.u.Tmpfile(dir, 0o600, Owner{})
		must(t, f.made(n, a, err))
		return nil
	}))
	f.remounted(func() {
		f.want("d/named", "data")
		f.wantNames("d", "lower", "named")
		if a := f.stat("d/named"); a.Nlink != 1 || a.Mode != unix.S_IFREG|0o4640 || a.UID != 3 {
			t.Errorf("%+v", a)
		}
	})
}
