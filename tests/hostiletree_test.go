package tests

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a container makes of its own filesystem is read from outside, while it goes on.

// exchangesSeen is how many exchanges of each pair must have been made while a command was tried.
const exchangesSeen = 10_000

// exchangePairs exchanges a directory and a file for links to what the host has at the path given, for ever, and tells
// how often it has.
func exchangePairs(args []string) error {
	target := args[0]
	err := errors.Join(os.MkdirAll("/x/d/own", 0o755), os.WriteFile("/x/f", []byte("own"), 0o644),
		os.Symlink(target, "/x/d.link"), os.Symlink(filepath.Join(target, hostSecretName), "/x/f.link"))
	for i := range 20 {
		err = errors.Join(err, os.WriteFile(fmt.Sprintf("/x/d/own/%d", i), []byte("own"), 0o644))
	}
	fd, openErr := unix.Open("/x", unix.O_PATH, 0)
	for count := 0; err == nil && openErr == nil; count++ {
		if count%1000 == 0 {
			fmt.Println(count)
		}
		for _, name := range []string{"d", "f"} {
			err = errors.Join(err, unix.Renameat2(fd, name, fd, name+".link", unix.RENAME_EXCHANGE))
		}
	}
	return errors.Join(err, openErr)
}

const (
	hostSecretName = "name-of-a-secret"
	hostSecret     = "content of a secret"
)

// exchanges tells how often the container has exchanged each pair.
func (u *user) exchanges(container string) int {
	u.t.Helper()
	lines := strings.Fields(u.run("logs", "--tail", "1", container))
	if len(lines) == 0 {
		return 0
	}
	count, err := strconv.Atoi(lines[0])
	if err != nil {
		u.t.Fatalf("the container says %q", lines)
	}
	return count
}

// TestReadWhileExchanged has every command that reads a running container's files do so while the container exchanges
// them for links to the host's. Nothing of the host may come out, and no command may fail.
func TestReadWhileExchanged(t *testing.T) {
	u := newUserWithImage(t)
	dir := u.path("home", "kept")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := append([]byte(hostSecret), make([]byte, 20<<20)...) // a size that shows
	if err := os.WriteFile(filepath.Join(dir, hostSecretName), secret, 0o644); err != nil {
		t.Fatal(err)
	}
	u.run(append(append([]string{"run", "-d", "--network", "none", "--name", "exchanger"},
		u.attackFlags("exchange")...), "bb", "/attacker", dir)...)
	eventually(t, "entries are exchanged", func() bool { return u.exchanges("exchanger") > 0 })
	for name, read := range map[string]func() string{
		"export": func() string { return u.run("export", "--pause=false", "exchanger") },
		"commit": func() string {
			u.run("commit", "--pause=false", "exchanger", "committed")
			u.run("create", "--network", "none", "--name", "of-it", "committed", "true")
			defer u.run("rmi", "committed")
			defer u.run("rm", "of-it")
			return u.run("export", "of-it")
		},
		"diff":       func() string { return "\n" + u.run("diff", "exchanger") },
		"system df":  func() string { return u.run("system", "df", "--format", "{{.Type}} {{.Size}}") },
		"layer tree": func() string { return u.run("layer", "tree", "--format", "{{.Kind}} {{.Size}}", "exchanger") },
	} {
		for start, rounds := u.exchanges("exchanger"), 0; rounds < 5 ||
			u.exchanges("exchanger")-start < exchangesSeen; rounds++ {
			if leak := leakIn(t, name, read()); leak != "" {
				t.Fatalf("%s: %s", name, leak)
			}
		}
	}
	u.run("rm", "-f", "exchanger")
}

// leakIn tells what an output has of the host, "" for nothing.
func leakIn(t *testing.T, command, output string) string {
	switch command {
	case "export", "commit":
		return leakInTar(t, output)
	case "diff":
		if strings.Contains(output, hostSecretName) {
			return output
		}
		return ""
	}
	for line := range strings.Lines(output) {
		if (strings.HasPrefix(line, "Containers") || strings.HasPrefix(line, "rw")) && strings.Contains(line, "MB") {
			return line
		}
	}
	return ""
}

// leakInTar looks at the names and contents. The targets of links are what the container has chosen.
func leakInTar(t *testing.T, archive string) string {
	for tr := tar.NewReader(strings.NewReader(archive)); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(io.LimitReader(tr, 1<<10))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(hdr.Name, hostSecretName) || bytes.Contains(data, []byte(hostSecret)) &&
			strings.HasPrefix(hdr.Name, "x/") {
			return fmt.Sprintf("%s: %.40s", hdr.Name, data)
		}
	}
}

// makeLevels makes so many directories of the length of name given in each other, and a file in the last.
func makeLevels(args []string) error {
	levels, err := strconv.Atoi(args[0])
	length, lengthErr := strconv.Atoi(args[1])
	if err = errors.Join(err, lengthErr); err != nil {
		return err
	}
	fd, err := unix.Open("/", unix.O_PATH, 0)
	name := strings.Repeat("d", length)
	for range levels {
		if err != nil {
			return err
		}
		if err = unix.Mkdirat(fd, name, 0o755); err == nil {
			var next int
			next, err = unix.Openat(fd, name, unix.O_PATH, 0)
			unix.Close(fd)
			fd = next
		}
	}
	if err != nil {
		return err
	}
	file, err := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err == nil {
		_, err = unix.Write(file, []byte("bytes"))
	}
	return err
}

// TestDeepContainer has all commands work with containers whose paths are longer than the kernel takes and that have
// more levels than a process has descriptors.
func TestDeepContainer(t *testing.T) {
	u := newUserWithImage(t)
	for name, size := range map[string][2]int{"long": {39, 99}, "deep": {2500, 1}} {
		levels, length := size[0], size[1]
		u.run(append(append([]string{"run", "--network", "none", "--name", name}, u.attackFlags("levels")...), "bb",
			"/attacker",
			fmt.Sprint(levels), fmt.Sprint(length))...)
		path := strings.Repeat("/"+strings.Repeat("d", length), levels) + "/file"
		if diff := u.run("diff", name); !strings.HasSuffix(diff, "\nA "+path) || strings.Count(diff, "\n") < levels {
			t.Errorf("%s: diff ends in ...%s", name, diff[max(0, len(diff)-100):])
		}
		if archive := u.run("export", name); !hasEntry(t, archive, path[1:]) {
			t.Errorf("%s: its export lacks the file", name)
		}
		u.run("layer", "tree", name)
		if driverOf(t) == "" { // the library's drivers take no such paths
			u.run("commit", name, "of-"+name)
			u.run("create", "--network", "none", "--name", "again", "of-"+name, "true")
			if archive := u.run("export", "again"); !hasEntry(t, archive, path[1:]) {
				t.Errorf("%s: the image of it lacks the file", name)
			}
			u.run("rm", "again")
			u.run("rmi", "of-"+name)
		}
	}
	u.run("system", "df")
	for _, name := range []string{"long", "deep"} {
		few := u.command("sh", "-c", `ulimit -n 1024; exec "$RCRUN" rm `+name)
		u.succeeded(u.finish(few))
		u.run("images")
	}
	u.prints("", "ps", "-aq")
	u.prints("", "store", "check", "--repair")
}

func hasEntry(t *testing.T, archive, name string) bool {
	for tr := tar.NewReader(strings.NewReader(archive)); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if hdr.Name == name {
			return true
		}
	}
}

// TestOneCannotBeMeasured has commands about several containers go on past one that cannot be read.
func TestOneCannotBeMeasured(t *testing.T) {
	u := newUserWithImage(t)
	bad := u.run("create", "--network", "none", "--name", "bad", "bb", "true")
	u.run("run", "--network", "none", "--name", "good", "bb", "sh", "-c", "printf 12345 >/five")
	diff := u.path("home/.local/share/rcrun/storage/fuse/dir", bad, "diff")
	if err := os.Chmod(diff, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"Containers 5B", []string{"system", "df", "--format", "{{.Type}} {{.Size}}"}},
		{"good 5B", []string{"ps", "-as", "--format", "{{.Names}} {{.Size}}"}},
		{"rw 5B", []string{"layer", "tree", "--format", "{{.Kind}} {{.Size}}", "bad", "good"}},
	} {
		r := u.try(c.args...)
		if u.succeeded(r); !strings.Contains(r.stdout, c.want) {
			t.Errorf("%s: want %q in\n%s", r.command, c.want, r.stdout)
		}
		if !strings.Contains(r.stderr, "warning: measure container "+bad) ||
			!strings.Contains(r.stderr, "permission denied") {
			t.Errorf("%s: it does not say which container cannot be measured:\n%s", r.command, r.stderr)
		}
	}
	u.run("rm", "bad", "good")
}
