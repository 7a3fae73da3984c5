package tests

import (
	"fmt"
	"os"
	osuser "os/user"
	"strings"
	"testing"
)

// TestKeptIDHasName checks that a user who keeps their id has a name, a group and a home in the container, which are in
// no layer of theirs.
func TestKeptIDHasName(t *testing.T) {
	u := newUserWithImage(t)
	me, err := osuser.Current()
	if err != nil {
		t.Fatal(err)
	}
	home := "/home/" + me.Username
	const who = "id -un; id -gn; echo $HOME; touch $HOME/f && echo writable"
	mine := fmt.Sprintf("%s\n%s\n%s\nwritable", me.Username, me.Username, home)
	u.run("run", "-d", "--name", "c1", "--userns", "keep-id", "bb", "sleep", "1000")
	u.prints(mine, "exec", "c1", "sh", "-c", who)
	u.prints(mine, "exec", "-u", me.Uid, "c1", "sh", "-c", who)
	u.prints(mine, "run", "--rm", "--userns", "keep-id", "bb", "sh", "-c", who)
	u.prints("root\nroot\n/root\nwritable", "exec", "-u", "0", "c1", "sh", "-c", who)
	u.prints("4242\nroot\n/home/4242\nwritable", "run", "--rm", "--userns", "keep-id", "-u", "4242", "bb", "sh", "-c",
		who)
	u.prints("alice\nalice\n/home/alice\nwritable", "run", "--rm", "--userns", "keep-id", "-u", "1000", "bb", "sh",
		"-c", who)

	// The files are like the image's, and in no layer.
	u.prints("644 0 0", "exec", "c1", "stat", "-c", "%a %u %g", "/etc/passwd")
	u.prints("C /home\nA "+home+"\nA "+home+"/f\nC /root\nA /root/f", "diff", "c1")
	u.run("commit", "c1", "committed")
	if out := u.run("run", "--rm", "committed", "cat", "/etc/passwd", "/etc/group"); strings.Contains(out,
		me.Username) {
		t.Errorf("the committed image has\n%s", out)
	}
	u.run("exec", "-u", "0", "c1", "sh", "-c",
		"echo new:x:77:77::/:/bin/sh >>/etc/passwd && mv /etc/group /etc/g && mv /etc/g /etc/group")
	u.prints("new", "exec", "-u", "77", "c1", "id", "-un")
	u.run("rm", "-f", "c1")
}

// TestUserWhoIsNotThere asks for ids that the container does not have, and for the caller's, which is somebody else
// inside.
func TestUserWhoIsNotThere(t *testing.T) {
	u := newUserWithImage(t)
	u.fails(125, []string{"1234567", "id map", "uid_map"}, "run", "--rm", "-u", "1234567:1234567", "bb", "true")
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	u.fails(125, []string{"1234567", "id map"}, "exec", "-u", "1234567", "c1", "true")
	u.run("rm", "-f", "c1")
	me := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	r := u.try("run", "--rm", "-u", me, "-v", u.path("tmp")+":/w", "bb", "id", "-u")
	if u.succeeded(r) != fmt.Sprint(os.Getuid()) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	contains(t, r.stderr, "warning", "--userns=keep-id")
	for _, args := range [][]string{{"-u", me}, {"-u", me, "--userns", "keep-id", "-v", u.path("tmp") + ":/w"},
		{"-v", u.path("tmp") + ":/w"}} {
		if r := u.try(append(append([]string{"run", "--rm"}, args...), "bb", "true")...); r.code != 0 ||
			r.stderr != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// TestHomeOnTheHostsRoot runs root of a container on the host's root directory, whose home is another's: HOME is one
// that can be written to.
func TestHomeOnTheHostsRoot(t *testing.T) {
	u := newUser(t)
	out := u.run("run", "--rm", "--rootfs", "/:O", "sh", "-c",
		`echo "$HOME"; touch "$HOME/of-the-test" && echo writable`)
	home, _, _ := strings.Cut(out, "\n")
	if !strings.HasSuffix(out, "\nwritable") || home == "/root" {
		t.Errorf("printed %q", out)
	}
	if _, err := os.Stat(home + "/of-the-test"); err == nil {
		t.Error("the host has the file, too")
	}
	u.prints("/mine", "run", "--rm", "-e", "HOME=/mine", "--rootfs", "/:O", "sh", "-c", "echo $HOME")
}
