package fusefs

import (
	"encoding/binary"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// aclOf returns the value of an ACL's xattr that gives user 7 some permissions besides those of a mode.
func aclOf(mode uint32, user7 uint16) []byte {
	value := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, uint16(mode >> 6 & 7), ^uint32(0)}, {2, user7, 7}, {4, 0, ^uint32(0)},
		{0x10, uint16(mode >> 3 & 7), ^uint32(0)}, {0x20, uint16(mode & 7), ^uint32(0)}} {
		value = binary.LittleEndian.AppendUint16(value, e.tag)
		value = binary.LittleEndian.AppendUint16(value, e.perm)
		value = binary.LittleEndian.AppendUint32(value, e.id)
	}
	return value
}

// as runs a shell command as another user of the namespace.
func as(uid uint32, script string) error {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd.Run()
}

func TestACLs(t *testing.T) {
	m := withLower(t, map[string]string{"secret": "secret", "d/x": "x"})
	m.manyIDs = true
	m.run(t, func(t *testing.T, mnt string) {
		t.Chdir(mnt) // since the directories above are the caller's alone
		must(t, os.Chmod(mnt+"/secret", 0o600))
		read := "cat secret"
		if as(7, read) == nil {
			t.Error("user 7 reads without being allowed to")
		}
		must(t, unix.Setxattr(mnt+"/secret", "system.posix_acl_access", aclOf(0o640, 6), 0))
		if err := as(7, read); err != nil {
			t.Errorf("user 7 cannot read: %v", err)
		}
		if as(8, read) == nil || as(7, "echo x >> secret") == nil {
			t.Error("more is allowed than the ACL says")
		}
		must(t, os.Chmod(mnt+"/secret", 0o600)) // the mask
		if as(7, read) == nil {
			t.Error("user 7 reads what the mask denies")
		}
		must(t, unix.Setxattr(mnt+"/d", "system.posix_acl_default", aclOf(0o770, 7), 0))
		must(t, os.WriteFile(mnt+"/d/new", []byte("new"), 0o666))
		if err := as(7, "test -r d/new -a -w d/new"); err != nil {
			t.Errorf("the default ACL was not inherited: %v", err)
		}
		st, err := os.Stat(mnt + "/d/new")
		if err != nil || st.Mode().Perm() != 0o660 {
			t.Errorf("%v, %v", st.Mode(), err)
		}
	})
}

func TestUmask(t *testing.T) {
	newMounted(t, 0).run(t, func(t *testing.T, mnt string) {
		out, err := exec.Command("/bin/sh", "-c",
			"umask 027; mkdir "+mnt+"/d; : > "+mnt+"/f; mkfifo "+mnt+"/p; stat -c %a "+mnt+"/[dfp]").CombinedOutput()
		if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != "750 640 640" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestTmpfile(t *testing.T) {
	withLower(t, map[string]string{"d/x": "x"}).run(t, func(t *testing.T, mnt string) {
		fd, err := unix.Open(mnt+"/d", unix.O_TMPFILE|unix.O_RDWR, 0o640)
		must(t, err)
		f := os.NewFile(uintptr(fd), "tmpfile")
		_, err = f.WriteString("content")
		must(t, err)
		must(t, unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, mnt+"/d/named",
			unix.AT_SYMLINK_FOLLOW))
		must(t, f.Close())
		wantFile(t, mnt+"/d/named", "content")
		st, err := os.Stat(mnt + "/d/named")
		if err != nil || st.Mode().Perm() != 0o640 || st.Sys().(*syscall.Stat_t).Nlink != 1 {
			t.Errorf("%+v, %v", st, err)
		}
		fd, err = unix.Open(mnt, unix.O_TMPFILE|unix.O_WRONLY|unix.O_EXCL, 0o600)
		must(t, err)
		must(t, unix.Close(fd))
	})
}

func TestBirthTime(t *testing.T) {
	withLower(t, map[string]string{"x": "x"}).run(t, func(t *testing.T, mnt string) {
		for range 2 {
			var st unix.Statx_t
			must(t, unix.Statx(unix.AT_FDCWD, mnt+"/x", 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st))
			if st.Mask&unix.STATX_BTIME == 0 || st.Btime.Sec == 0 {
				t.Errorf("%+v", st)
			}
			if st.Size != 1 || st.Mode != unix.S_IFREG|0o644 {
				t.Errorf("%+v", st)
			}
			must(t, os.Chmod(mnt+"/x", 0o644))
		}
	})
}
