package own

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDirs(t *testing.T) {
	base := t.TempDir()
	fresh := filepath.Join(base, "a", "b")
	if err := MakeDir(fresh); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{fresh, filepath.Dir(fresh)} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v", dir, info.Mode(), err)
		}
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(fresh, link); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(link); err != nil {
		t.Errorf("a link of our own to a directory of our own: %v", err)
	}
	for mode, part := range map[os.FileMode]string{0o755: "", 0o711: "", 0o775: "chmod go-w", 0o702: "chmod go-w",
		0o777 | os.ModeSticky: "chmod go-w"} {
		if err := os.Chmod(fresh, mode); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{fresh, link} {
			if err := MakeDir(dir); (err == nil) != (part == "") || err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("mode %v: %v, want %q", mode, err, part)
			}
		}
	}
	if os.Geteuid() == 0 {
		t.Skip("what belongs to root belongs to the caller")
	}
	for _, dir := range []string{"/", "/tmp", "/proc/1"} {
		if err := MakeDir(dir); err == nil || !strings.Contains(err.Error(), "not owned by the current user") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestPeerIsOwn(t *testing.T) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.DialUnix("unix", nil, listener.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, conn := range []*net.UnixConn{client, server} {
		if err := CheckPeer(conn); err != nil {
			t.Error(err)
		}
	}
}
