package tests

import (
	"os"
	"strings"
	"testing"
)

// TestNewerRecord meets a container that a newer version made, with a limit that this one cannot keep.
func TestNewerRecord(t *testing.T) {
	u := newUserWithImage(t)
	id := u.run("create", "--name", "newer", "bb", "true")
	path := u.path("home", ".local/share/rcrun/containers", id, "hostconfig.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(text), "{", `{"LimitOfTomorrow": 7,`, 1)
	if err := os.WriteFile(path, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(125, []string{"LimitOfTomorrow", path}, "start", "newer")
	u.prints("newer", "ps", "-a", "--format", "{{.Names}}")
	u.prints("newer", "rm", "newer")
}
