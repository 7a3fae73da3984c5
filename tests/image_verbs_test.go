package tests

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTag(t *testing.T) {
	u := newUser(t)
	id := u.loadPicture("example.org/app:v1", busyboxTree(t), upperLayer(t)).id(t)
	u.prints("", "tag", "example.org/app:v1", "app", "127.0.0.1:5000/team/app:v2")
	u.hasImage("app:latest", id)
	u.hasImage("127.0.0.1:5000/team/app:v2", id)
	u.prints("from-tag", "run", "--rm", "app", "echo", "from-tag")
	u.prints("Untagged: app:latest", "untag", "app", "app:latest")
	u.fails(125, []string{"app"}, "run", "--rm", "--pull=never", "app", "true")
	u.prints("Untagged: 127.0.0.1:5000/team/app:v2\nUntagged: example.org/app:v1", "image", "untag", id[7:19])
	contains(t, u.run("images"), "<none>")
	// An image without a name can be named again.
	u.run("image", "tag", id, "back:1")
	u.hasImage("back:1", id)
	u.fails(125, []string{"Upper"}, "tag", "back:1", "Upper")
	u.fails(125, []string{"digest"}, "tag", "back:1", "x@"+id)
	u.fails(125, []string{"missing"}, "tag", "missing", "x")
	u.fails(125, []string{"other:1"}, "untag", "back:1", "other:1")
}

func TestRmi(t *testing.T) {
	u := newUser(t)
	id := u.loadPicture("app:v1", busyboxTree(t), upperLayer(t)).id(t)
	u.run("tag", "app:v1", "app:v2", "other:v1")
	u.fails(125, []string{"several repositories", "other:v1", "force"}, "rmi", id)
	u.prints("Untagged: other:v1", "rmi", "other:v1")

	u.run("create", "--name", "user1", "app:v1")
	u.prints("Untagged: app:v1", "rmi", "app:v1") // it has another one
	u.fails(125, []string{"uses it", "app:v2"}, "rmi", "app:v2")
	u.fails(125, []string{"uses it"}, "rmi", id[7:15])
	u.run("rm", "user1")
	u.run("run", "-d", "--name", "runs", "app:v2", "sleep", "1000")
	u.fails(125, []string{"running container", "uses it"}, "rmi", "-f", id)
	u.prints("Untagged: app:v2", "rmi", "-f", "app:v2")
	u.prints("still there", "exec", "runs", "echo", "still there")
	u.run("rm", "-f", "runs")
	contains(t, u.run("image", "rm", id[7:19]), "Deleted: "+id)
	u.isEmptyStore()

	// Several at once: one that is missing does not keep the others.
	u.importImage("one", busyboxTree(t))
	r := u.try("rmi", "missing", "one")
	u.failed(r, 125, "missing")
	contains(t, r.stdout, "Untagged: one:latest")
	if r := u.try("rmi", "-f", "missing"); r.code != 0 || !strings.Contains(r.stderr, "missing") {
		t.Errorf("rmi -f of a missing image: %+v", r)
	}
	u.isEmptyStore()
}

func TestImageInspect(t *testing.T) {
	u := newUser(t)
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	p.config.Author = "somebody"
	p.config.Config.Env = []string{"A=1"}
	p.config.Config.Labels = map[string]string{"l": "v"}
	p.config.Config.ExposedPorts = map[string]struct{}{"80/tcp": {}}
	p.config.Config.WorkingDir = "/srv"
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	u.run("create", "--name", "app", "app:v1", "true")

	var got []struct {
		Id, Author, Architecture, Os string
		RepoTags, RepoDigests        []string
		Size                         int64
		Config                       struct {
			Env, Cmd, OnBuild, Entrypoint []string
			Labels                        map[string]string
			ExposedPorts                  map[string]struct{}
			WorkingDir, User              string
			Tty                           *bool
		}
		GraphDriver struct {
			Name string
			Data map[string]string
		}
		RootFS struct {
			Type   string
			Layers []string
		}
	}
	for _, args := range [][]string{{"image", "inspect", "app:v1"}, {"inspect", "--type", "image", "app:v1"},
		{"inspect", "app:v1"}} {
		if err := json.Unmarshal([]byte(u.run(args...)), &got); err != nil {
			t.Fatal(err)
		}
		img := got[0]
		if img.Id != p.id(t) || img.Author != "somebody" || !slices.Equal(img.RepoTags, []string{"app:v1"}) ||
			img.RepoDigests == nil ||
			img.Size != int64(len(p.layers[0])+len(p.layers[1])) || img.Os != "linux" {
			t.Errorf("%v: %+v", args, img)
		}
		if c := img.Config; !slices.Equal(c.Env, []string{"A=1"}) || c.Labels["l"] != "v" || c.WorkingDir != "/srv" ||
			c.Tty == nil ||
			!slices.Equal(c.Cmd, []string{"sh"}) || len(c.ExposedPorts) != 1 {
			t.Errorf("%v: configuration %+v", args, img.Config)
		}
		if len(img.RootFS.Layers) != 2 || img.RootFS.Layers[0] != p.config.RootFS.DiffIDs[0].String() ||
			img.RootFS.Type != "layers" {
			t.Errorf("%v: layers %+v, want the lowest first", args, img.RootFS)
		}
		if _, err := os.Stat(img.GraphDriver.Data["UpperDir"]); img.GraphDriver.Name == "" || err != nil {
			t.Errorf("%v: driver %+v: %v", args, img.GraphDriver, err)
		}
	}
	u.prints("[sh] somebody", "image", "inspect", "-f", "{{.Config.Cmd}} {{.Author}}", "app:v1")
	u.inspectsByType(p.id(t))
}

// inspectsByType has the image app:v1 and the container app told apart by what is asked for.
func (u *user) inspectsByType(id string) {
	u.t.Helper()
	u.fails(125, []string{"app"}, "inspect", "--type", "container", "app:v1")
	u.fails(125, []string{"user1"}, "image", "inspect", "user1")
	u.fails(125, []string{"--type", "pod"}, "inspect", "--type", "pod", "app:v1")
	u.prints("/app", "inspect", "-f", "{{.Name}}", "app")
	u.prints("created", "container", "inspect", "-f", "{{.State.Status}}", "app")
	// What is there is printed beside the error about what is not.
	r := u.try("image", "inspect", "-f", "{{.Id}}", "missing", "app:v1")
	u.failed(r, 125, "missing")
	if r.out() != id {
		u.t.Errorf("with a missing image: %q", r.stdout)
	}
}

func TestHistory(t *testing.T) {
	u := newUser(t)
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	long := "RUN " + strings.Repeat("something ", 20)
	p.addHistory(long, false)
	p.addHistory("CMD [sh]", true)
	p.addHistory("COPY x", false)
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	table := strings.Split(u.run("history", "app:v1"), "\n")
	if len(table) != 4 || !strings.HasPrefix(table[0], "IMAGE") || !strings.HasPrefix(table[1], p.id(t)[7:19]) ||
		!strings.HasPrefix(table[2], "<missing>") || !strings.Contains(table[2], "0B") ||
		strings.Contains(table[3], long) {
		t.Errorf("history %q", table)
	}
	u.prints("COPY x\nCMD [sh]\n"+long, "history", "--no-trunc", "--format", "{{.CreatedBy}}", "app:v1")
	u.prints(p.id(t)+"\n<missing>\n<missing>", "image", "history", "-q", "--no-trunc", "app:v1")
	contains(t, u.run("history", "--human=false", "app:v1"), "CREATED AT", "2023-11-14T22:13:20Z")
	var row struct{ ID, CreatedAt, CreatedBy, CreatedSince, Size, Comment string }
	if err := json.Unmarshal([]byte(strings.Split(u.run("history", "--format", "json", "app:v1"), "\n")[0]),
		&row); err != nil || row.CreatedBy != "COPY x" {
		t.Errorf("as JSON: %+v, %v", row, err)
	}
}
