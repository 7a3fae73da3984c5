package tests

import (
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// repoDigests returns those of an image.
func (u *user) repoDigests(image string) (digests []string) {
	u.t.Helper()
	if err := json.Unmarshal([]byte(u.run("image", "inspect", "-f", "{{json .RepoDigests}}", image)),
		&digests); err != nil {
		u.t.Fatal(err)
	}
	return digests
}

// TestRepoDigests checks that images have the digests by which registries know them, and no others.
func TestRepoDigests(t *testing.T) {
	u := newUserWithImage(t)
	server := u.startRegistry()
	if got := u.repoDigests("bb"); len(got) != 0 {
		t.Errorf("an image that was in no registry has %q", got)
	}
	name := server.host + "/team/app"
	u.run("tag", "bb", name+":1")
	if got := u.repoDigests("bb"); len(got) != 0 {
		t.Errorf("an image that was not pushed has %q", got)
	}
	printed := u.run("push", name+":1")
	_, pushed, _ := strings.Cut(printed, "digest: ")
	pushed, _, _ = strings.Cut(pushed, " ")
	known := name + "@" + pushed
	if got := u.repoDigests("bb"); !slices.Equal(got, []string{known}) {
		t.Fatalf("after the push it has %q, want %q; push printed\n%s", got, known, printed)
	}
	u.prints(pushed, "images", "--digests", "--format", "{{.Digest}}", name)
	u.prints("<none>", "images", "--digests", "--format", "{{.Digest}}", "bb")
	u.prints("ok", "run", "--rm", "--network", "none", "--pull", "never", known, "echo", "ok")
	// The digest is one that the registry has; to pull the image by it adds no other.
	id := u.run("image", "inspect", "-f", "{{.Id}}", "bb")
	u.prints(id, "pull", "-q", known)
	if got := u.repoDigests("bb"); !slices.Equal(got, []string{known}) {
		t.Errorf("pulled by its digest it has %q, want %q", got, known)
	}
	u.run("push", "-q", "bb", server.host+"/other:1")
	u.run("tag", "bb", server.host+"/other:1")
	other := server.host + "/other@" + pushed
	if got := u.repoDigests("bb"); len(got) != 2 || !slices.Contains(got, known) || !slices.Contains(got, other) {
		t.Errorf("pushed to two repositories it has %q, want %q and %q", got, known, other)
	}
	u.run("untag", "bb", server.host+"/other:1")
	if got := u.repoDigests("bb"); !slices.Equal(got, []string{known}) {
		t.Errorf("without a name in a repository it has %q, want %q", got, known)
	}
	u.run("rmi", "-f", id)
	u.prints(id, "pull", "-q", name+":1")
	if got := u.repoDigests(name + ":1"); !slices.Equal(got, []string{known}) {
		t.Errorf("after a pull it has %q, want %q", got, known)
	}
	// An image that lost its name to a newer one keeps the digest.
	u.run("run", "--name", "changed", "--network", "none", name+":1", "touch", "/new")
	u.run("commit", "changed", name+":1")
	if got := u.repoDigests(id); !slices.Equal(got, []string{known}) {
		t.Errorf("without any name it has %q, want %q", got, known)
	}
}

// TestPlatformHeld asks for images of other platforms than those that are there.
func TestPlatformHeld(t *testing.T) {
	u := newUserWithImage(t)
	server := u.startRegistry()
	here := "linux/" + runtime.GOARCH
	const wanted = "linux/s390x"
	mismatch := []string{"image with reference ",
		" was found but its platform (" + here + ") does not match the specified platform (" + wanted + ")"}
	name := server.host + "/bb:1"
	u.run("tag", "bb", name)
	u.run("push", "-q", name)
	u.prints("ok", "run", "--rm", "--network", "none", "--platform", here, "bb", "echo", "ok")
	u.prints("ok", "run", "--rm", "--network", "none", "--platform", runtime.GOARCH, "bb", "echo", "ok")
	for _, command := range []string{"run", "create"} {
		u.fails(125, mismatch, command, "--pull", "never", "--network", "none", "--platform", wanted, "bb", "true")
		u.fails(125, mismatch, command, "-q", "--network", "none", "--platform", wanted, name, "true")
		u.fails(125, []string{`platform "x"`}, command, "--network", "none", "--platform", "x", "bb", "true")
		u.fails(125, []string{`platform "linux/"`}, command, "--network", "none", "--platform", "linux/", "bb", "true")
	}
	u.fails(125, []string{"--platform needs an image"}, "run", "--rootfs", "/:O", "--platform", here, "true")
	u.fails(125, mismatch, "pull", "--platform", wanted, name)
	u.fails(125, []string{`platform "x"`}, "pull", "--platform", "x", name)
	u.fails(125, []string{`platform "a/b/c/d"`}, "import", "--platform", "a/b/c/d", debianTar(), "x")
	u.prints("", "ps", "-aq")
	// The registry has an image of the platform, too: it is pulled and takes the name.
	foreign := newPicture("app:v1", upperLayer(t))
	foreign.config.Architecture = "s390x"
	u.put(server.host, "bb:1", foreign)
	u.run("create", "--platform", wanted, "--name", "foreign", name, "/x")
	u.prints(foreign.id(t), "image", "inspect", "-f", "{{.Id}}", name)
	r := u.try("create", "--network", "none", name, "/x")
	u.succeeded(r)
	contains(t, r.stderr, "no specific platform was requested")
}
