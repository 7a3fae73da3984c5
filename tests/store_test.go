package tests

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/go-units"
)

// loadPicture loads an image of the layers under its name.
func (u *user) loadPicture(name string, layers ...[]byte) picture {
	u.t.Helper()
	p := newPicture(name, layers...)
	path := u.path("home", "picture.tar")
	if err := os.WriteFile(path, p.dockerArchive(u.t), 0o600); err != nil {
		u.t.Fatal(err)
	}
	u.run("load", "-q", "-i", path)
	return p
}

// decode runs a command that prints JSON objects, one a line.
func decode[T any](u *user, args ...string) []T {
	u.t.Helper()
	var all []T
	for line := range strings.Lines(u.run(args...)) {
		var one T
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			u.t.Fatalf("rcrun %s: %v in %s", strings.Join(args, " "), err, line)
		}
		all = append(all, one)
	}
	return all
}

func sum(text []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(text)) }

// TestLayerInspect works out from the tars what the store says of their layers.
func TestLayerInspect(t *testing.T) {
	u := newUser(t)
	base, upper := busyboxTree(t), upperLayer(t)
	u.loadPicture("app:v1", base, upper)
	u.run("create", "--name", "c1", "app:v1", "sh")
	id := u.run("ps", "-aq", "--no-trunc")

	chain := []string{sum(base), sum([]byte(sum(base) + " " + sum(upper)))}
	for i, tar := range [][]byte{base, upper} {
		const format = "{{.ChainID}} {{.DiffID}} {{.Size}} {{.Parent}}"
		parent := ""
		if i > 0 {
			parent = chain[i-1]
		}
		u.prints(fmt.Sprintf("%s %s %d %s", chain[i], sum(tar), len(tar), parent), "layer", "inspect", "-f", format,
			chain[i])
		cache := u.run("layer", "inspect", "-f", "{{.CacheID}}", strings.TrimPrefix(chain[i], "sha256:")[:12])
		if _, err := os.Stat(u.path("home/.local/share/rcrun/storage/fuse/dir", cache, "diff")); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(u.run("layer", "inspect", "-f", "{{.TarSplit}}", chain[i])); err != nil ||
			info.Size() == 0 {
			t.Errorf("tar-split: %v, %v", info, err)
		}
	}
	u.prints(id+" "+id+"-init "+chain[1], "layer", "inspect", "-f", "{{.MountID}} {{.InitID}} {{.Parent}}", "c1")
	u.fails(125, []string{"no such layer", "nosuch"}, "layer", "inspect", "nosuch")
	u.prints(chain[0]+"\n"+chain[1], "layer", "ls", "-q", "--no-trunc")
}

// TestTree checks that the tree of a container leads from its own layer down, and that images show what they share
// once.
func TestTree(t *testing.T) {
	u := newUser(t)
	base, upper := busyboxTree(t), upperLayer(t)
	u.loadPicture("base:1", base)
	u.loadPicture("app:v1", base, upper)
	u.loadPicture("app:v2", base, pack(t, file("two", 0o644, "2")))
	u.run("create", "--name", "c1", "app:v1", "sh")
	id := u.run("ps", "-aq", "--no-trunc")

	chain := sum([]byte(sum(base) + " " + sum(upper)))
	want := "0 rw " + id + " c1\n1 init " + id + "-init \n2 image " + chain + " app:v1\n3 image " + sum(base) + " "
	u.prints(want, "layer", "tree", "--format", "{{.Depth}} {{.Kind}} {{.ID}} {{.Names}}", "c1")

	all := u.run("image", "tree", "--format", "{{.Depth}} {{.ID}} {{.Names}}")
	if n := strings.Count(all, sum(base)); n != 1 {
		t.Errorf("the shared layer is shown %d times in\n%s", n, all)
	}
	contains(t, all, "0 "+sum(base)+" base:1", "1 "+chain+" app:v1", "app:v2")
	if one := u.run("image", "tree", "app:v1"); strings.Contains(one, "app:v2") || !strings.Contains(one, "└─ ") {
		t.Errorf("the tree of one image is\n%s", one)
	}
}

// TestSystemDF compares what df says with the tars of the images and with what a container writes.
func TestSystemDF(t *testing.T) {
	u := newUser(t)
	base, upper := busyboxTree(t), upperLayer(t)
	u.loadPicture("base:1", base)
	u.loadPicture("app:v1", base, upper)
	u.run("run", "--name", "c1", "base:1", "sh", "-c", "head -c 5000 /dev/zero >/file")

	type row struct{ Type, TotalCount, Active, Size, Reclaimable string }
	rows := decode[row](u, "system", "df", "--format", "json")
	if len(rows) != 4 {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	size := func(n int) string { return units.HumanSizeWithPrecision(float64(n), 3) }
	free := fmt.Sprintf("%s (%d%%)", size(len(upper)), 100*len(upper)/(len(base)+len(upper)))
	for i, want := range []row{
		{"Images", "2", "1", size(len(base) + len(upper)), free},
		{"Containers", "1", "0", "5kB", "5kB (100%)"},
		{"Local Volumes", "0", "0", "0B", "0B"},
		{"Build Cache", "0", "0", "0B", "0B"},
	} {
		if rows[i] != want {
			t.Errorf("row %+v, want %+v", rows[i], want)
		}
	}
	contains(t, u.run("system", "df"), "TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
	contains(t, u.run("system", "df", "-v"), "SHARED SIZE", "UNIQUE SIZE", "app", "c1", "5kB")
}

// TestImageFilters checks each filter of images.
func TestImageFilters(t *testing.T) {
	u := newUser(t)
	tar := pack(t, file("one", 0o644, "1"))
	for i, args := range [][]string{{"-", "old:1"}, {"-c", "LABEL stage=new", "-", "new:1"},
		{"-", "registry.example/new:2"}, {"-"}} {
		r := u.tryWith(tar, append([]string{"import", "-m", fmt.Sprint(i)}, args...)...)
		u.succeeded(r)
	}
	const names = "{{.Repository}}:{{.Tag}}"
	for filter, want := range map[string]string{
		"dangling=true":         "<none>:<none>",
		"dangling=false":        "registry.example/new:2\nnew:1\nold:1",
		"label=stage":           "new:1",
		"label=stage=new":       "new:1",
		"label=stage=old":       "",
		"label!=stage":          "<none>:<none>\nregistry.example/new:2\nold:1",
		"before=new:1":          "old:1",
		"since=new:1":           "<none>:<none>\nregistry.example/new:2",
		"reference=new":         "new:1",
		"reference=*new:2":      "",
		"reference=*/new":       "registry.example/new:2",
		"until=1h":              "",
		"until=2100-01-01":      "<none>:<none>\nregistry.example/new:2\nnew:1\nold:1",
		"until=soon":            "",
		"until=2099-01-01T0:0Z": "",
	} {
		r := u.try("images", "--filter", filter, "--format", names)
		if filter == "until=soon" || filter == "until=2099-01-01T0:0Z" {
			u.failed(r, 125, "invalid --filter")
		} else if u.succeeded(r) != want {
			t.Errorf("--filter %s: %q, want %q", filter, r.out(), want)
		}
	}
	u.prints("new:1", "images", "--format", names, "new")
	u.prints("new:1", "images", "--format", names, "new:1")
	contains(t, u.run("images", "--digests"), "DIGEST", "<none>") // they are in no registry
	contains(t, u.run("images", "-a", "--no-trunc", "-q"), "sha256:")
	for bad, part := range map[string]string{"x": "key=value", "x=1": "x=1", "dangling=perhaps": "true or false",
		"before=nosuch": "nosuch"} {
		u.fails(125, []string{part}, "images", "-f", bad)
	}
}

// TestStoreCheck breaks an image in the store and checks that it is named, that the other one works on, and that the
// repair leaves a store in which the image can be had again.
func TestStoreCheck(t *testing.T) {
	u := newUser(t)
	u.loadPicture("good:1", busyboxTree(t))
	u.loadPicture("app:v1", busyboxTree(t), upperLayer(t))
	u.prints("", "store", "check", "--deep")
	cache := u.run("layer", "inspect", "-f", "{{.CacheID}}", sum([]byte(sum(busyboxTree(t))+" "+sum(upperLayer(t)))))
	storage := u.path("home/.local/share/rcrun/storage")
	if err := os.RemoveAll(storage + "/fuse/dir/" + cache); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(storage+"/fuse/dir/"+strings.Repeat("e", 64)+"/diff", 0o700); err != nil {
		t.Fatal(err)
	}
	r := u.try("store", "check")
	contains(t, r.stdout, "app:v1", cache, "files are missing", "eeeee")
	u.failed(r, 125, "--repair", "3 problems")
	u.prints("works", "run", "--rm", "good:1", "echo", "works")

	contains(t, u.run("store", "check", "--repair"), "app:v1", "removed", "rcrun pull app:v1")
	contains(t, u.run("events", "--since", "0", "--until", "0s", "--filter", "event=untag", "--filter", "event=delete"),
		" image untag sha256:", "(name=app:v1)", " image delete sha256:")
	u.prints("", "store", "check", "--deep")
	u.prints("good:1", "images", "--format", "{{.Repository}}:{{.Tag}}")
	u.loadPicture("app:v1", busyboxTree(t), upperLayer(t))
	u.checkLayers("app:v1")
}

// TestDamagedConfiguration damages what describes one image: everything else is still told.
func TestDamagedConfiguration(t *testing.T) {
	u := newUserWithImage(t)
	id := strings.TrimPrefix(u.run("image", "inspect", "-f", "{{.Id}}", "bb"), "sha256:")
	files, err := filepath.Glob(u.path("home/.local/share/rcrun/storage/fuse-images", id, "=*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files of the image:", err)
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := u.try("images")
	contains(t, r.stdout, "bb")
	u.failed(r, 125, id)
	r = u.try("info")
	contains(t, r.stdout, "Images:         1", "/dev/fuse")
	u.failed(r, 125, id)
	u.failed(u.try("store", "check"), 125, "1 problem:")
}

// TestDamagedImageRecord damages one record of the store: the others must be usable, and the check must name the file.
func TestDamagedImageRecord(t *testing.T) {
	u := newUserWithImage(t)
	u.loadPicture("victim:1", busyboxTree(t), upperLayer(t))
	records := u.path("home/.local/share/rcrun/storage/fuse-images/images.json")
	text, err := os.ReadFile(records)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(text), `"digest":"sha256:`) // of the image that came last
	damaged := string(text[:at]) + `"digest":"damaged:` + string(text[at+len(`"digest":"sha256:`):])
	if err := os.WriteFile(records, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	u.prints("bb:latest", "images", "--format", "{{.Repository}}:{{.Tag}}")
	u.prints("works", "run", "--rm", "bb", "echo", "works")
	r := u.try("store", "check")
	if contains(t, r.stdout, "records "+records, "could not be read"); r.code != 125 {
		t.Errorf("exit code %d", r.code)
	}
	u.run("store", "check", "--repair")
	u.prints("", "store", "check", "--deep")
	u.loadPicture("victim:1", busyboxTree(t), upperLayer(t))
	u.checkLayers("victim:1")
}

// TestStoreCheckContainers checks that a container without its layer is named, and a layer without its container
// removed.
func TestStoreCheckContainers(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "c1", "bb", "sh")
	u.run("create", "--name", "c2", "bb", "sh")
	ids := strings.Fields(u.run("ps", "-aq", "--no-trunc")) // the newest first
	data := u.path("home/.local/share/rcrun")
	if err := os.RemoveAll(data + "/storage/fuse/dir/" + ids[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(data + "/containers/" + ids[0]); err != nil {
		t.Fatal(err)
	}
	r := u.try("store", "check", "--repair")
	contains(t, r.stdout, "orphan "+ids[0], "rcrun rm -f "+ids[1])
	if r.code != 125 || !strings.Contains(r.stderr, "could not be repaired") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	u.run("rm", "-f", "c1")
	u.prints("", "store", "check", "--repair")
	u.run("rmi", "bb")
	u.isEmptyStore()
}

// TestPrune checks what each kind of pruning takes and what it leaves.
func TestPrune(t *testing.T) {
	u := newUserWithImage(t)
	u.importImage("spare:1", pack(t, file("one", 0o644, "1")))
	u.succeeded(u.tryWith(pack(t, file("two", 0o644, "2")), "import", "-"))
	u.run("run", "-d", "--name", "up", "--label", "a=b", "bb", "sleep", "1000")
	u.run("create", "--name", "made", "bb", "sh")
	u.run("run", "--name", "ended", "--label", "a=b", "bb", "sh", "-c", "head -c 3000 /dev/zero >/file")
	const names = "{{.Repository}}:{{.Tag}}"

	u.fails(125, []string{"--force"}, "image", "prune")
	if r := u.tryWith([]byte("n\n"), "image", "prune", "-a"); r.code != 0 || !strings.Contains(r.stdout, "[y/N]") {
		t.Errorf("exit code %d, %q", r.code, r.stdout)
	}
	u.prints("Total reclaimed space: 0B", "image", "prune", "-f", "--filter", "label=nosuch")
	u.fails(125, []string{"reference"}, "image", "prune", "-f", "--filter", "reference=x")
	u.fails(125, []string{"dangling", "images"}, "container", "prune", "-f", "--filter", "dangling=true")
	u.prints("<none>:<none>\nspare:1\nbb:latest", "images", "--format", names)
	r := u.tryWith([]byte("y\n"), "image", "prune")
	contains(t, u.succeeded(r), "dangling", "Deleted Images:", "deleted: sha256:", "Total reclaimed space: 2.05kB")
	u.prints("spare:1\nbb:latest", "images", "--format", names)

	contains(t, u.run("container", "prune", "-f", "--filter", "label=a"), "Deleted Containers:", "3kB")
	u.prints("made\nup", "ps", "-a", "--format", "{{.Names}}")
	contains(t, u.run("system", "prune", "-f"), "Deleted Containers:", "Total reclaimed space: 0B")
	u.prints("up", "ps", "-a", "--format", "{{.Names}}")
	contains(t, u.run("system", "prune", "-af", "--volumes"), "untagged: spare:1")
	u.prints("bb:latest", "images", "--format", names)
	u.prints("", "store", "check", "--deep")
	u.run("rm", "-f", "up")
	u.run("system", "prune", "-af")
	u.isEmptyStore()
}

// TestDedup has a store look for equal files: on a filesystem that cannot share their content it says so, and which
// can.
func TestDedup(t *testing.T) {
	u := newUser(t)
	r := u.try("system", "dedup")
	if shares := r.code == 0 && strings.HasPrefix(r.stdout, "0 files"); !shares {
		u.failed(r, 125, "btrfs and XFS")
	}
}
