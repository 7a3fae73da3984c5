package tests

import (
	"strings"
	"testing"
)

var ofImages = []string{"type=image"}

// hasImageEvents compares the events of images with lines of the action, the actor and the attributes; "sha256:X" is
// the id of the image.
func (u *user) hasImageEvents(id string, want ...string) {
	u.t.Helper()
	var got []string
	for _, event := range u.events(ofImages...) {
		line := event.Action + " " + event.Actor.ID + " " + event.Actor.Attributes["name"]
		if reclaimed, isPrune := event.Actor.Attributes["reclaimed"]; isPrune && reclaimed != "0" {
			line += " reclaimed"
		}
		if label := event.Actor.Attributes["tier"]; label != "" {
			line += " tier=" + label
		}
		got = append(got, strings.ReplaceAll(line, id, "X"))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		u.t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestImageEvents names, saves, removes and loads an image.
func TestImageEvents(t *testing.T) {
	u := newUser(t)
	u.importImage("bb:1", busyboxTree(t), "-c", "LABEL tier=front")
	id := strings.TrimPrefix(u.run("image", "inspect", "-f", "{{.Id}}", "bb:1"), "sha256:")
	u.run("tag", "bb:1", "other", "registry.example:5000/team/app:v1")
	u.run("save", "-o", u.path("home", "bb.tar"), "bb:1", "other")
	u.run("untag", "bb:1", "other")
	u.run("rmi", "bb:1")
	u.run("rmi", id)
	u.run("load", "-q", "-i", u.path("home", "bb.tar"))
	u.run("image", "prune", "-af")
	u.fails(125, nil, "rmi", "bb:1")
	u.hasImageEvents(id,
		"import sha256:X sha256:X tier=front",
		"tag sha256:X bb:1 tier=front",
		"tag sha256:X other:latest tier=front",
		"tag sha256:X registry.example:5000/team/app:v1 tier=front",
		"save sha256:X sha256:X tier=front",
		"untag sha256:X other:latest",
		"untag sha256:X bb:1",
		"untag sha256:X registry.example:5000/team/app:v1",
		"delete sha256:X sha256:X",
		"load sha256:X sha256:X tier=front",
		"untag sha256:X bb:1",
		"untag sha256:X other:latest",
		"delete sha256:X sha256:X",
		"prune   reclaimed")
}

// TestRegistryEvents pulls and pushes: the actor of these is a name.
func TestRegistryEvents(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t))
	name := u.put(server.host, "team/app:v1", p)
	repository := strings.TrimSuffix(name, ":v1")
	u.run("run", "--rm", "--name", "c1", name, "true") // pulls
	u.run("pull", "-q", name)
	u.run("push", "-q", name, repository+":v2")
	u.fails(125, nil, "pull", "-q", repository+":none")
	u.run("system", "prune", "-af")
	id := strings.TrimPrefix(p.id(t), "sha256:")
	u.hasImageEvents(id,
		"pull "+name+" "+repository, "pull "+name+" "+repository, "push "+repository+":v2 "+repository,
		"untag sha256:X "+name, "delete sha256:X sha256:X", "prune   reclaimed")
	u.hasEvents([]string{"type=builder"}, "prune  reclaimed=0")
	u.hasEvents([]string{"image=" + repository, "event=die"}, "die c1 exitCode=0")
}

// TestCommitEvents makes an image and a tar of a container.
func TestCommitEvents(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "bb", "touch", "/new")
	id := strings.TrimPrefix(u.run("commit", "-m", "why", "c1", "made"), "sha256:")
	u.run("export", "-o", u.path("home", "c1.tar"), "c1")
	u.hasEvents([]string{"container=c1", "event=commit", "event=export"},
		"commit c1 comment=why imageID=sha256:"+id+" imageRef=made:latest", "export c1")
	u.hasEvents([]string{"image=sha256:" + id}, "create sha256:"+id, "tag made:latest")
	u.run("commit", "c1")
	if events := u.events("container=c1", "event=commit"); events[1].Actor.Attributes["imageRef"] != "" {
		t.Errorf("%+v", events[1])
	}
}
