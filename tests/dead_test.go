package tests

import (
	"path/filepath"
	"testing"
)

// TestRemovalFails removes a container in whose layer something is mounted: it is dead until that is unmounted.
func TestRemovalFails(t *testing.T) {
	u := newUserBeside(t, hostMounts.RLocker())
	u.importImage("bb", busyboxTree(t), "-c", `CMD ["sh"]`)
	id := u.run("create", "--name", "c1", "bb")
	layers, err := filepath.Glob(u.path("home/.local/share/rcrun/storage/*/dir/" + id + "/diff"))
	if err != nil || len(layers) != 1 {
		t.Fatalf("the layer of the container: %q, %v", layers, err)
	}
	u.inHome("mkdir lower upper work " + layers[0] + "/mnt")
	u.run("union", "mount", "-o", "lowerdir=lower,upperdir=upper,workdir=work", filepath.Join(layers[0], "mnt"))

	u.fails(125, []string{"remove container", "mnt"}, "rm", "c1")
	u.prints("c1 Dead", "ps", "-a", "--filter", "status=dead", "--format", "{{.Names}} {{.Status}}")
	u.prints("dead true", "inspect", "-f", "{{.State.Status}} {{.State.Dead}}", "c1")
	u.fails(125, []string{"c1", "marked for removal"}, "start", "c1")
	u.prints("", "ps", "-q")
	u.run("create", "--name", "c2", "bb") // a dead container does not keep others from being created
	u.inHome("grep -o ' " + u.path("home/.local") + "[^ ]*' /proc/self/mountinfo | xargs $RCRUN union unmount")
	u.run("rm", "c1", "c2")
	u.prints("", "ps", "-aq")
	u.noLeftovers()
}
