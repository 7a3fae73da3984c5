package tests

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func TestPull(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	name := strings.TrimSuffix(u.put(server.host, "team/app:v1", p), ":v1")

	u.prints(p.id(t), "pull", "-q", name+":v1")
	u.hasImage(name+":v1", p.id(t))
	u.checkLayers(name + ":v1")
	u.run("rmi", name+":v1")
	u.isEmptyStore()
	// An image that is not there is pulled by run, which tells of it where it does not get into the output.
	r := u.try("run", "--rm", name+":v1", "echo", "output")
	if r.code != 0 || r.stdout != "output\n" {
		t.Errorf("run: exit code %d, printed %q", r.code, r.stdout)
	}
	contains(t, r.stderr, "Unable to find image '"+name+":v1' locally", "v1: Pulling from team/app", "Pull complete",
		"Status: Downloaded newer image")

	u.fails(125, []string{name + ":v2"}, "pull", "-q", name+":v2")
	u.fails(125, []string{name + "/missing"}, "pull", "-q", name+"/missing")
	u.fails(125, []string{"127.0.0.1:1/app", "connection refused"}, "pull", "-q", "127.0.0.1:1/app")
	u.checkLayers(name + ":v1")
}

// TestPullOutput holds what pull prints to what docker prints.
func TestPullOutput(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	base := busyboxTree(t)
	one := u.put(server.host, "team/app", newPicture("app:latest", base, upperLayer(t)))
	two := u.put(server.host, "team/app:v2", newPicture("app:v2", base))
	hex := regexp.MustCompile(`[0-9a-f]{64}|(?m:^[0-9a-f]{12}:)`)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{one}, "Using default tag: latest\nlatest: Pulling from team/app\nX Pull complete\nX Pull " +
			"complete\nDigest: sha256:X\n" +
			"Status: Downloaded newer image for " + one + ":latest\n" + one + ":latest\n"},
		{[]string{one + ":latest"},
			"latest: Pulling from team/app\nX Already exists\nX Already exists\nDigest: sha256:X\n" +
				"Status: Image is up to date for " + one + ":latest\n" + one + ":latest\n"},
		{[]string{two}, "v2: Pulling from team/app\nX Already exists\nDigest: sha256:X\nStatus: Downloaded newer " +
			"image for " + two + "\n" + two + "\n"},
	} {
		r := u.try(append([]string{"pull"}, c.args...)...)
		if got := hex.ReplaceAllString(r.stdout, "X"); got != c.want || r.stderr != "" || r.code != 0 {
			t.Errorf("pull %q: %d, %q, printed\n%swant\n%s", c.args, r.code, r.stderr, got, c.want)
		}
	}
	for blob, n := range server.fetched(t) {
		if n != 1 {
			t.Errorf("%s was fetched %d times", blob, n)
		}
	}
	u.run("rmi", one, two)
	all := u.run("pull", "--all-tags", one)
	contains(t, all, "latest: Pulling from team/app", "v2: Pulling from team/app", "newer image for "+two)
	if ids := lines(u.run("images", "-q"), ""); len(ids) != 2 {
		t.Errorf("all tags: images %q", ids)
	}
	u.fails(125, []string{"name one image"}, "pull", "-a", two)
}

// TestPullShowsProgress looks at the lines that change on a terminal.
func TestPullShowsProgress(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	name := u.put(server.host, "app:v1", newPicture("app:v1", busyboxTree(t)))
	term := u.onTerminal("pull", name)
	term.expect("Pulling from app")
	term.expect("Waiting")
	term.expect("Pull complete")
	term.expect("Status: Downloaded newer image for " + name)
	if code := term.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, term.screen, "Downloading [", "Extracting")
}

// TestPullOnce pulls one image many times at once.
func TestPullOnce(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	layers := [][]byte{busyboxTree(t)}
	for i := range 8 {
		layers = append(layers, pack(t, file(fmt.Sprintf("file%d", i), 0o644, strings.Repeat(fmt.Sprint(i, " content "),
			50_000))))
	}
	p := newPicture("app:v1", layers...)
	name := u.put(server.host, "app:v1", p)
	var pulls sync.WaitGroup
	for range 10 {
		pulls.Go(func() {
			if r := u.try("pull", "-q", name); r.code != 0 || r.out() != p.id(t) {
				t.Errorf("pull: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
	pulls.Wait()
	fetched := server.fetched(t)
	if len(fetched) != len(layers)+1 {
		t.Errorf("%d blobs were fetched, want %d layers and the configuration", len(fetched), len(layers))
	}
	for blob, n := range fetched {
		if n != 1 {
			t.Errorf("%s was fetched %d times", blob, n)
		}
	}
	u.prints("7 content", "run", "--rm", name, "cut", "-c1-9", "/file7")
	u.run("rmi", name)
	u.isEmptyStore()
}

// TestImageNotFound asks for images that are not here: the error is one sentence, and names those that are like them.
func TestImageNotFound(t *testing.T) {
	u := newUserWithImage(t)
	u.run("tag", "bb", "basicos:12")
	u.fails(125, []string{`no image "basicos" in the store; basicos:12 is here`}, "run", "--pull", "never", "basicos",
		"true")
	u.fails(125, []string{`no image "baiscos:12" in the store; basicos:12 is here`}, "history", "baiscos:12")
	u.fails(125, []string{`rcrun: no image "nothing" in the store`}, "tag", "nothing", "x")
	u.configure("registries.conf", "unqualified-search-registries = [\"127.0.0.1:1\"]\n")
	r := u.try("run", "-q", "basicos", "true")
	u.failed(r, 125, "the registry 127.0.0.1:1 cannot be reached: connection refused by 127.0.0.1:1 (basicos:12 is "+
		"here)")
	if strings.Contains(r.stderr, "dial tcp") || strings.Contains(r.stderr, "http://") {
		t.Errorf("the error tells how requests are made: %s", r.stderr)
	}
	// No name server and no network at all.
	r = u.finish(u.command("unshare", "-cn", u.path("rcrun"), "pull", "192.0.2.1/app"))
	u.failed(r, 125, "the registry 192.0.2.1 cannot be reached: network is unreachable", "is the network up?")
}
