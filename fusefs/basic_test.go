package fusefs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestShellInMount(t *testing.T) {
	m := newMounted(t, 2)
	if !inside() {
		must(t, os.MkdirAll(m.lower(1)+"/etc/apt", 0o755))
		must(t, os.WriteFile(m.lower(1)+"/etc/passwd", []byte("root\n"), 0o644))
		must(t, os.WriteFile(m.lower(0)+"/top", []byte("top\n"), 0o644))
	}
	m.check = func(t *testing.T, m *mounted, c *Counters) {
		data, err := os.ReadFile(filepath.Join(m.upper(), "etc/passwd"))
		if err != nil || string(data) != "root\nmore\n" {
			t.Errorf("in the upper: %q, %v", data, err)
		}
	}
	m.run(t, func(t *testing.T, mnt string) {
		cmd := exec.Command("sh", "-exc", `
			cat etc/passwd; echo more >> etc/passwd; ls -laR . ; mkdir -p new/dir; echo x > new/dir/f; mv new/dir new/dir2; cat new/dir2/f
			rm top; ! test -e top; rm -r etc/apt; ls etc; ln -s passwd etc/link; cat etc/link; ln etc/passwd etc/hard; stat -c %h etc/hard
			mkdir etc/apt; mknod pipe p; mv etc/passwd etc/shadow; cat etc/hard; chmod 4755 etc/hard; stat -c %a etc/hard; df . ; stat -f -c %T .`)
		cmd.Dir = mnt
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		must(t, os.Rename(filepath.Join(mnt, "etc/shadow"), filepath.Join(mnt, "etc/passwd")))
	})
}
