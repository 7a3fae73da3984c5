package tests

import (
	"os"
	"strings"
	"testing"
)

// TestArgumentsThatAreNoText gives bytes that are not UTF-8 wherever rcrun takes something for a container: they are
// refused, and nothing else is made or mounted in their place. What only this process uses may have any name.
func TestArgumentsThatAreNoText(t *testing.T) {
	u := newUserWithImage(t)
	odd := "lat\xe9"
	dir := u.path("home", odd)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"run", "--rm", "-v", dir + ":/v", "bb", "true"},
		{"run", "--rm", "bb", "echo", odd},
		{"run", "--rm", "-e", "A=" + odd, "bb", "true"},
		{"run", "--rm", "-w", "/" + odd, "bb", "true"},
		{"run", "--rm", "--tmpfs", "/" + odd, "bb", "true"},
		{"run", "--rm", "--rootfs", dir, "true"},
		{"run", "--rm", "-l", "a=" + odd, "bb", "true"},
		{"create", "--entrypoint", odd, "bb"},
		{"--root", dir, "ps"},
		{"commit", "-m", odd, "c1"},
		{"union", "mount", "-o", "lowerdir=" + dir, u.path("home")},
	} {
		u.fails(125, []string{`\xe9`, "not valid UTF-8"}, args...)
	}
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	u.fails(125, []string{`argument "lat\xe9"`}, "exec", "c1", "echo", odd)
	u.fails(125, []string{"--env", `\xe9`}, "exec", "-e", "A="+odd, "c1", "true")

	if err := os.WriteFile(u.path("home", "vars"), []byte("GOOD=1\nBAD="+odd+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(125, []string{"vars", `\xe9`}, "run", "--rm", "--env-file", "vars", "bb", "true")
	u.setenv("FROM_HERE", odd)
	u.fails(125, []string{"FROM_HERE", `\xe9`}, "run", "--rm", "-e", "FROM_HERE", "bb", "true")

	cmd := u.cmd("run", "--rm", "-v", ".:/v", "bb", "true") // in a directory of such a name
	cmd.Dir = dir
	u.failed(u.finish(cmd), 125, `\xe9`)
	cmd = u.cmd("run", "--rm", "--rootfs", ".", "true")
	cmd.Dir = dir
	u.failed(u.finish(cmd), 125, "not valid UTF-8")

	r := u.finish(u.command(overlayBinary, "-o", "lowerdir="+dir, u.path("tmp")))
	if r.code != 1 || !strings.Contains(r.stderr, "not valid UTF-8") {
		t.Errorf("a union of such a directory: %+v", r)
	}

	u.run("export", "-o", dir+"/c1.tar", "c1")
	u.run("import", dir+"/c1.tar", "again")
	u.run("save", "-o", dir+"/again.tar", "again")
	u.run("load", "-i", dir+"/again.tar")
	for _, name := range u.entries("home") {
		if strings.HasPrefix(name, "lat") && name != odd {
			t.Errorf("%q was made", name)
		}
	}
}

// TestDiffNames prints names that a terminal would not tell apart.
func TestDiffNames(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "bb", "sh", "-c",
		`mkdir /data; cd /data; touch "$(printf 'a\nb')" 'a\nb' "$(printf 'lat\351')" 'lat\xe9' é`)
	want := []string{`/data/a\\nb`, `/data/a\nb`, `/data/lat\\xe9`, `/data/lat\xe9`, `/data/é`}
	got := strings.Split(u.run("diff", "--format", "{{.Path}}", "c1"), "\n")
	for _, name := range want {
		if strings.Count(strings.Join(got, "\n")+"\n", name+"\n") != 1 {
			t.Errorf("no %s in %q", name, got)
		}
		contains(t, u.run("diff", "c1"), "A "+name)
	}
	contains(t, u.run("diff", "--format", "json", "c1"), `"/data/lat\\xe9"`, `"/data/a\\nb"`, `"/data/a\\\\nb"`)
}
