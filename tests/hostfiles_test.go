package tests

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStoreHasNoPrivilegedFiles brings in and makes files that mean privileges, and looks for them on the host.
func TestStoreHasNoPrivilegedFiles(t *testing.T) {
	u := newUser(t)
	layer := []entry{file("suid", 0o6755, "#!/bin/sh\n"), file("of-daemon", 0o6755, "#!/bin/sh\n").owned(1, 1),
		directory("sgid", 0o2777)}
	for name, typ := range map[string]byte{"char": tar.TypeChar, "block": tar.TypeBlock} {
		layer = append(layer, entry{Header: tar.Header{Name: name, Typeflag: typ, Mode: 0o666, Devmajor: 1,
			Devminor: 3}})
	}
	capable := file("capable", 0o755, "#!/bin/sh\n")
	capabilities := "\x01\x00\x00\x02\xff\xff\xff\xff" + strings.Repeat("\x00", 12)
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": capabilities}
	u.loadPicture("bb:latest", busyboxTree(t), pack(t, append(layer, capable)...))
	u.run("run", "--name", "c1", "--network", "none", "bb", "sh", "-ec",
		`cp /bin/busybox /new; chown 1:1 /new; chmod 6755 /new; chmod 4755 /etc/passwd; mkdir -m 7777 /dir; mknod /white c 0 0; stat -c '%a %F' /suid /new /char /block`)
	u.prints("6755 regular file\n6755 regular file\n666 character special file\n666 block special file", "logs", "c1")
	u.run("commit", "c1", "committed")
	u.prints("character special file 0:0", "run", "--rm", "--network", "none", "committed", "stat", "-c", "%F %t:%T",
		"/white")
	err := filepath.WalkDir(u.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 && info.Mode().IsRegular() ||
			info.Mode()&fs.ModeDevice != 0 && st.Rdev != 0 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		if st.Uid != uint32(os.Getuid()) {
			t.Errorf("%s belongs to %d", path, st.Uid)
		}
		if size, err := syscall.Getxattr(path, "security.capability", nil); err == nil && info.Mode().IsRegular() {
			t.Errorf("%s has capabilities, %d bytes", path, size)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOtherUsersSeeNothing has another user of the machine look at all that rcrun has of the first one, whose
// directories were open to everybody before.
func TestOtherUsersSeeNothing(t *testing.T) {
	for name, variable := range map[string]string{"home": "HOME", "data": "XDG_DATA_HOME", "root": ""} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			base := u.path("open")
			for _, dir := range []string{u.dir, base, base + "/.local", base + "/.local/share", base + "/share",
				base + "/share/storage"} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			var global []string
			if variable == "" {
				global = []string{"--root", base + "/share"}
			} else {
				u.setenv(variable, base)
			}
			u.succeeded(u.tryWith(busyboxTree(t), append(global, "import", "-", "bb")...))
			id := u.run(append(global, "run", "-d", "--network", "none", "--name", "c1", "bb", "sh", "-c",
				"echo secret >/secret; chmod 644 /secret; exec sleep 1000")...)
			script := fmt.Sprintf(`setpriv --reuid 5000 --regid 5000 --clear-groups sh -c 'find %s -mindepth 1; find %[1]s -type f -exec cat {} +; ls -R %[1]s'`, base)
			r := u.finish(u.command("unshare", "--user", "--map-root-user", "--map-auto", "sh", "-ec", script))
			for _, part := range []string{id, "secret\n", "overlay-layers", "config.v2.json", "busybox"} {
				if strings.Contains(r.stdout, part) {
					t.Errorf("another user sees %q in\n%.2000s", part, r.stdout)
				}
			}
			contains(t, r.stdout, base+"/") // the directory itself can be looked at
			contains(t, r.stderr, "Permission denied")
			u.run(append(global, "rm", "-f", "c1")...)
		})
	}
}
