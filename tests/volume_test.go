package tests

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestVolumes(t *testing.T) {
	u := newUserWithImage(t)
	data := u.path("home", "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data+"/file", []byte("of the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	u.prints("of the host\n0 0", "run", "--rm", "-v", data+":/data", "bb", "sh", "-c",
		"cat /data/file; stat -c '%u %g' /data/file; echo inside >/data/new")
	info, err := os.Stat(data + "/new")
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
		t.Errorf("root's file in a volume on the host: %+v, %v", info, err)
	}
	r := u.try("run", "--rm", "-v", data+":/data:ro", "bb", "sh", "-c", "cat /data/new; echo x >/data/x")
	if r.stdout != "inside\n" || r.code == 0 || !strings.Contains(r.stderr, "Read-only file system") {
		t.Errorf("a read-only volume: exit code %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	// A single file, a target that is made, and a target below another volume.
	u.prints("of the host\nof the host", "run", "--rm", "-v", data+"/file:/etc/secret:ro", "-v", data+":/made/here",
		"-v", data+"/file:/made/here/new", "bb",
		"cat", "/etc/secret", "/made/here/new")
	// A link in the image does not lead the mount out of the root filesystem.
	u.importImage("linked", pack(t, symlink("data", "/home"), directory("home", 0o755),
		symlink("up", "../../../../tmp")))
	u.run("create", "--name", "link", "-v", data+":/up/x", "linked", "x")
	if r := u.try("start", "link"); r.code == 0 {
		t.Error("an image without programs starts")
	}
	if _, err := os.Lstat("/tmp/x"); err == nil {
		t.Error("the mount point was made on the host")
	}
	u.fails(125, []string{"relative"}, "run", "--rm", "-v", "relative/path:/data", "bb", "true")
	u.fails(125, []string{"/nonexistent"}, "run", "--rm", "-v", "/nonexistent:/data", "bb", "true")
	u.fails(125, []string{"odd"}, "run", "--rm", "-v", data+":/data:odd", "bb", "true")
	u.fails(125, []string{"Duplicate mount point", "/data"}, "run", "--rm", "-v", data+":/data", "-v", data+":/data",
		"bb", "true")
	u.fails(125, []string{"Duplicate mount point", "/data"}, "run", "--rm", "-v", data+":/data", "--tmpfs", "/data",
		"bb", "true")
	u.prints("link", "ps", "-a", "--format", "{{.Names}}")
}

func TestTmpfs(t *testing.T) {
	u := newUserWithImage(t)
	contains(t, u.run("run", "--rm", "--tmpfs", "/scratch", "bb", "sh", "-c",
		"echo x >/scratch/x; grep ' /scratch ' /proc/mounts"),
		"tmpfs /scratch tmpfs", "nosuid", "nodev", "noexec")
	contains(t, u.run("run", "--rm", "--tmpfs", "/scratch:size=1m,mode=700,exec", "bb", "sh", "-c",
		"df -k /scratch; stat -c %a /scratch; grep ' /scratch ' /proc/mounts"),
		"1024", "\n700\n")
	u.fails(125, []string{"no-such-option"}, "run", "--rm", "--tmpfs", "/scratch:no-such-option", "bb", "true")
}

func TestReadOnly(t *testing.T) {
	u := newUserWithImage(t)
	r := u.try("run", "--rm", "--read-only", "--tmpfs", "/tmp", "bb", "sh", "-c",
		"echo tmp >/tmp/x; cat /tmp/x; echo shm >/dev/shm/x; cat /dev/shm/x; echo x >/x")
	if r.stdout != "tmp\nshm\n" || r.code == 0 || !strings.Contains(r.stderr, "Read-only file system") {
		t.Errorf("exit code %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	r = u.try("run", "--rm", "--read-only", "bb", "sh", "-c", "chmod 700 /etc/group; rm /etc/group; mkdir /d; :")
	if n := strings.Count(r.stderr, "Read-only file system"); n != 3 {
		t.Errorf("%d of 3 changes were refused\n%s", n, r.stderr)
	}
}

// TestRootfs runs on directories of the host's instead of images.
func TestRootfs(t *testing.T) {
	u := newUser(t)
	root := u.path("home", "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	untar := u.command("tar", "-xf", "-", "-C", root, "--no-same-owner", "--exclude=etc/secret")
	untar.Stdin = strings.NewReader(string(busyboxTree(t)))
	u.succeeded(u.finish(untar))

	// With :O the directory is only the lower layer.
	u.prints("of alice\nnew", "run", "--rm", "--rootfs", root+":O", "sh", "-c",
		"cat /home/alice/own; rm /home/alice/own; echo new >/home/alice/new; cat /home/alice/new")
	if _, err := os.Stat(root + "/home/alice/own"); err != nil {
		t.Errorf("a file of the lower layer was removed: %v", err)
	}
	if _, err := os.Stat(root + "/home/alice/new"); err == nil {
		t.Error("a new file is in the lower layer")
	}
	// Without, it is the root filesystem itself.
	u.prints("of alice", "run", "--rm", "--rootfs", root, "sh", "-c", "cat /home/alice/own; echo new >/home/alice/new")
	if content, err := os.ReadFile(root + "/home/alice/new"); err != nil || string(content) != "new\n" {
		t.Errorf("the new file has %q, %v", content, err)
	}
	u.fails(125, []string{"/nonexistent"}, "run", "--rm", "--rootfs", "/nonexistent", "true")
	u.fails(125, []string{"/etc/passwd", "not a directory"}, "run", "--rm", "--rootfs", "/etc/passwd", "true")
}

// TestHostRootfs runs on the machine's own root directory, which stays as it is.
func TestHostRootfs(t *testing.T) {
	u := newUser(t)
	before := snapshot(t, "/etc/passwd", "/etc", "/usr/bin", "/")
	out := u.run("run", "--rm", "--rootfs", "/:O", "sh", "-ec",
		"rm /etc/passwd; echo mine >>/etc/hostname-of-mine; rm -r /usr/share/doc; chmod 000 /bin/ls; mkdir /new; ls "+
			"-A /proc | head -n 1; stat -c '%u %g' /usr; ls -d /etc/passwd 2>/dev/null || echo deleted")
	contains(t, out, "0 0\n", "\ndeleted")
	if after := snapshot(t, "/etc/passwd", "/etc", "/usr/bin", "/"); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
	// The tree below / has our own mount point in it, and the user's files: a walk must end.
	u.run("run", "--rm", "--rootfs", "/:O", "sh", "-c", "ls -R "+u.dir+" >/dev/null; :")
}

// snapshot describes files of the host.
func snapshot(t *testing.T, paths ...string) string {
	t.Helper()
	var out strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
	}
	return out.String()
}
