package unionmount

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

// secret is what a file holds that is beside the layers, and must never be seen in a union.
const secret = "do not tell"

// hostileNames are xattrs that mean something to a union, or to others that write layers.
var hostileNames = append([]string{workdir.OriginXattr, workdir.GroupXattr, layerfmt.DataXattr,
	layerfmt.RedirectXattr, layerfmt.WhiteoutXattr,
	"user.overlay.redirect", "user.overlay.metacopy", "user.overlay.origin", "user.overlay.nlink",
	"user.overlay.impure", "user.overlay.upper",
	"user.fuseoverlayfs.origin", "user.rcrun.x.security.capability", "user.rcrun.x.system.posix_acl_access",
	"user.rcrun.unknown"},
	slices.Concat(layerfmt.StatXattrs[1:], layerfmt.OpaqueXattrs[:2])...)

// hostileValues are some that are well-formed for one or another of them, and some that are for none.
var hostileValues = []string{"", "y", "x", "1:a", "1:a/b", "2-1:a", "2:a/b/c", "2,1:f", "1:..", "1:../..",
	"1:../secret", "1:/etc", "1:a/../..", "65536-1:a", "1:link", "1:link/secret", "1:pipe",
	"a", "/a", "/a/b", "/", "..", "../secret", "/../secret", "/link/secret", "a/b", "/a/b/c/d/e/f", "f", "/f",
	"/pipe", "/link",
	"0:0:0644:file", "1:2:0755:dir", "0:0:0777:symlink", "0:0:0600:char-0-0", "0:0:0600:char-1-3",
	"0:0:0666:block-8-0", "0:0:0600:pipe", "0:0:0600:socket", "4294967295:4294967295:7777",
	"0:0:99999", "::::", "0", "1", "18446744073709551615", "-1", "1:1:1", "0:2:4294967295", "1:99999999999:0",
	strings.Repeat("9", 400), "\x00\x01\x02", strings.Repeat("x", 3000)}

// hostileLayer is a layer with one of each kind of file, where a link leads out of it.
func hostileLayer() tree {
	return tree{"a/b/c": file("c"), "a/b/d": directory(), "a/f": file("af"), "f": file("f"), "empty": file(""),
		"f2": hardlink("f"), "link": symlink(".."), "a/link": symlink("../../secret"),
		"pipe": {typ: unix.S_IFIFO}, "a/pipe": {typ: unix.S_IFIFO}, "a/gone": whiteout(), ".wh.f": file(""),
		"a/.wh.b": file(""), "a/b/.wh..wh..opq": file("")}
}

// TestHostileLayers opens unions of layers whose files have any marks, reads and changes everything that shows, and
// wants it to be done with in the end, with nothing seen or changed outside the layers.
func TestHostileLayers(t *testing.T) {
	for _, as := range []*Layer{nil, ptr(rootIsMe())} {
		runs, seed := modelRuns(25)
		for i := range runs {
			run := seed + uint64(i)
			t.Run(fmt.Sprintf("host=%v,seed=%d", as != nil, run), func(t *testing.T) {
				r := rand.New(rand.NewPCG(run, 2))
				testHostile(t, as, func(path string) {
					for range 1 + r.IntN(3) {
						unix.Lsetxattr(path, hostileNames[r.IntN(len(hostileNames))],
							[]byte(hostileValues[r.IntN(len(hostileValues))]), 0)
					}
				}, r.IntN(3))
			})
		}
	}
}

func ptr[T any](v T) *T { return &v }

// FuzzMarks gives all files of a layer the same xattr.
func FuzzMarks(f *testing.F) {
	for i := range hostileNames {
		f.Add(uint8(i), []byte(hostileValues[i*7%len(hostileValues)]), uint8(i))
	}
	f.Fuzz(func(t *testing.T, name uint8, value []byte, lowers uint8) {
		attr := hostileNames[int(name)%len(hostileNames)]
		var as *Layer
		if lowers&4 != 0 {
			as = ptr(rootIsMe())
		}
		testHostile(t, as, func(path string) { unix.Lsetxattr(path, attr, value, 0) }, int(lowers%3))
	})
}

// testHostile makes a union of hostile layers, marked by mark, where the upper counts as one.
func testHostile(t *testing.T, as *Layer, mark func(path string), lowers int) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/secret", []byte(secret), 0o600))
	f := plantUnion(t, dir, slices.Repeat([]tree{hostileLayer()}, lowers)...)
	hostileLayer().plant(t, f.opts.Upper)
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir && path != dir+"/secret" {
			mark(path)
		}
		return err
	}))
	if as != nil {
		f.describe(*as)
	}
	u, err := Open(f.opts)
	if err != nil {
		return // a clear refusal
	}
	h := hostile{t, u}
	h.visit(u.Root(), 0, h.read)
	h.visit(u.Root(), 0, h.change)
	h.visit(u.Root(), 0, h.remove)
	must(t, u.Close())
	if data, err := os.ReadFile(dir + "/secret"); err != nil || string(data) != secret {
		t.Errorf("beside the layers, there is %q, %v", data, err)
	}
	if again, err := Open(f.opts); err == nil {
		hostile{t, again}.visit(again.Root(), 0, h.read)
		must(t, again.Close())
	}
}

// hostile visits a union of which nothing may be expected but that it answers.
type hostile struct {
	t *testing.T
	u *Union
}

// visit calls do with all entries that can be seen, those in a directory first.
func (h hostile) visit(dir *Node, depth int, do func(dir *Node, name string, n *Node)) {
	const deepest = 20
	if depth > deepest {
		h.t.Fatalf("a tree without end: %s", dir.path())
	}
	entries := map[string]*Node{}
	h.u.Readdir(dir, 0, func(e *Dirent) bool {
		if e.Node != nil {
			entries[e.Name] = e.Node
		}
		return true
	})
	for name, n := range entries {
		if n.isDir() {
			h.visit(n, depth+1, do)
		}
		do(dir, name, n)
		h.u.Forget(n, 1)
	}
}

// read reads all of a node, none of which may be the secret.
func (h hostile) read(_ *Node, name string, n *Node) {
	buf := make([]byte, 4096)
	if got, err := h.u.Read(n, buf, 0); err == nil && strings.Contains(string(buf[:got]), secret) {
		h.t.Errorf("%s shows what is not in a layer", name)
	}
	h.u.Readlink(n)
	h.u.Getattr(n)
	names, _ := h.u.ListXattr(n)
	for _, attr := range names {
		h.u.GetXattr(n, attr)
	}
}

func (h hostile) change(dir *Node, name string, n *Node) {
	mode := uint32(0o750)
	h.u.Setattr(n, SetAttr{Mode: &mode})
	h.u.Write(n, []byte("changed"), 2, asRoot)
	h.u.SetXattr(n, "user.note", []byte("note"), 0)
	h.u.Link(n, dir, name+"-link")
	h.u.Rename(dir, name, h.u.Root(), name+"-moved", 0)
	h.u.Mkdir(n, "made", 0o755, Owner{})
	h.u.Create(dir, name, 0o644, Owner{})
}

func (h hostile) remove(dir *Node, name string, n *Node) {
	if n.isDir() {
		h.u.Rmdir(dir, name)
	} else {
		h.u.Unlink(dir, name)
	}
}
