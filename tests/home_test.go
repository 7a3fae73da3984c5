package tests

import (
	"os"
	"testing"
)

// TestBadHome runs commands with a HOME in which nothing can be made: the sentence says so, and what needs no store
// works.
func TestBadHome(t *testing.T) {
	u := newUser(t)
	u.setenv("RCRUN_STORAGE_DRIVER", "")
	sealed := u.path("tmp", "sealed")
	if err := os.Mkdir(sealed, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, home := range []string{"/root", "/nonexistent/of/nobody", "/etc/passwd", sealed} {
		u.setenv("HOME", home)
		for _, args := range [][]string{{"images"}, {"ps"}, {"run", "--rm", "bb", "true"}, {"pull", "bb"}} {
			u.fails(125, []string{"HOME is " + home, "you cannot write to", "--root"}, args...)
		}
		u.run("version")
		u.run("--help")
		r := u.try("info")
		contains(t, r.stdout, "Kernel:", "/dev/fuse", "subordinate ids")
		contains(t, r.stderr, "HOME is "+home)
		if r.code != 125 {
			t.Errorf("info without a home ends with %d", r.code)
		}
		u.run("info", "--check")
		u.prints("", "--root", u.path("tmp", "store"), "images", "-q")
	}
	if left, err := os.ReadDir(sealed); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
