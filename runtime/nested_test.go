package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A container in a container: the outer one's masks keep the kernel from giving the inner one a new proc or sysfs.
func TestNested(t *testing.T) {
	const script = "echo pid $$; hostname; ls -d /proc/self /sys/class; exit 5"
	b := run(t, []string{"/bin/" + creatorName, "/inner", "/work", "sh", "-c", script}, func(c *Config) {
		root := c.RootConfig.(bindRoot).Path
		must(t, os.Rename(tree(t), filepath.Join(root, "inner")))
		program, err := os.ReadFile(selfExe)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(root, "bin", creatorName), program, 0o755))
		allCapabilities(t, c)
	})
	status, err := b.Wait(t.Context())
	must(t, err)
	out := b.stdout.all()
	if status.Code != 5 || !strings.Contains(out, "container\n/proc/self\n/sys/class\n") {
		t.Errorf("the inner container ended with %+v: %s%s", status, out, b.stderr.all())
	}
	if !strings.Contains(out, "the outer /proc is bound in its place") {
		t.Errorf("no warning of the outer /proc: %s", out)
	}
}
