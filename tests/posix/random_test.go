package posix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRandomScripts makes random calls by several users. RCRUN_POSIX_SEED repeats a run, RCRUN_POSIX_RUNS makes more.
func TestRandomScripts(t *testing.T) {
	for name, k := range kinds {
		if k.kernel {
			continue // it differs in too much
		}
		t.Run(name, func(t *testing.T) {
			runs, seed := howMany(8)
			for i := range runs {
				run := seed + uint64(i)
				t.Run(fmt.Sprintf("seed=%d", run),
					func(t *testing.T) { randomScript(t, k, rand.New(rand.NewPCG(run, 0))) })
			}
		})
	}
}

func howMany(usual int) (runs int, seed uint64) {
	runs, seed = usual, uint64(time.Now().UnixNano())
	if text := os.Getenv("RCRUN_POSIX_RUNS"); text != "" {
		runs, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("RCRUN_POSIX_SEED"); text != "" {
		runs = 1
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	return runs, seed
}

func randomScript(t *testing.T, k kind, r *rand.Rand) {
	d := newDuel(t, k)
	g := generator{r: r, links: !k.stacks || r.IntN(2) == 0, mtime: "9"}
	if strings.Contains(k.options, "writeback") {
		g.mtime = "omit" // since there the kernel takes a truncation to the same size for no change
	}
	again := "layer"
	if k.stacks && g.links {
		again = "remount"
	}
	for i := 0; i < 600 && !d.differs; i++ {
		d.run(g.line())
		if i%100 == 99 {
			d.compare()
			d.run(again)
		}
	}
	if d.differs {
		t.Logf("the script was:\n%s", strings.Join(d.log, "\n"))
	}
}

// generator makes lines of scripts.
type generator struct {
	r     *rand.Rand
	mtime string
	links bool // make hard links; names of one file that are in different layers are those of several
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (g generator) path() string {
	path := pick(g.r, "a", "b", "c")
	for range g.r.IntN(3) {
		path += "/" + pick(g.r, "a", "b", "c")
	}
	switch g.r.IntN(40) {
	case 0:
		path += "/"
	case 1:
		path += "/."
	case 2:
		path = "x*255"
	case 3:
		path += "/" + strings.Repeat("y", 200)
	}
	return path
}

func (g generator) mode() string {
	return fmt.Sprintf("0%o", pick(g.r, 0o644, 0o755, 0o777, 0o600, 0o4755, 0o2755, 0o1777, 0o2777, 0o6777, 0o400, 0,
		0o2644))
}

func (g generator) id() string { return pick(g.r, "0", "1000", "1001", "1002", "-1") }

func (g generator) data() string { return fmt.Sprintf("d%d", g.r.IntN(1000)) }

func (g generator) offset() string { return strconv.Itoa(pick(g.r, 0, 1, 5, 100, 4096, 5000, 70000)) }

func (g generator) file() string { return pick(g.r, "f", "g") }

func (g generator) acl() string {
	return fmt.Sprintf("u::%d,u:1000:%d,g::%d,m::%d,o::%d", g.r.IntN(8), g.r.IntN(8), g.r.IntN(8), g.r.IntN(8),
		g.r.IntN(8))
}

// line returns a random line. The users have but one group each, since a FUSE server is not told of others.
func (g generator) line() string {
	return pick(g.r, "", "", "", "@1000 ", "@1001:1000 ", "@1002 ") + g.call()
}

func (g generator) call() string {
	kind := g.r.IntN(40)
	if isLink := kind == 8 || kind == 9 || kind == 31; isLink && !g.links {
		kind = 0
	}
	if kind <= 20 {
		return g.nameCall(kind)
	}
	return g.fileCall(kind)
}

// nameCall returns a call of one of the first kinds, which are about names and their owners.
func (g generator) nameCall(kind int) string {
	r := g.r
	switch kind {
	case 0, 1, 2:
		return "mkdir " + g.path() + " " + g.mode()
	case 3, 4, 5:
		return "create " + g.path() + " " + g.mode()
	case 6:
		return "mknod " + g.path() + " " + pick(r, "reg", "fifo", "sock", "none") + " " + g.mode()
	case 7:
		return "symlink " + g.path() + " " + g.path()
	case 8, 9:
		return "link " + g.path() + " " + g.path()
	case 10, 11:
		return "unlink " + g.path()
	case 12:
		return "rmdir " + g.path()
	case 13, 14, 15, 16:
		return "rename " + g.path() + " " + g.path() + " " + pick(r, "0", "0", "0", "noreplace", "exchange")
	case 17, 18:
		return "chmod " + g.path() + " " + g.mode()
	}
	// Both ids being -1, the kernel says EPERM of a setuid file of another user, but not of one behind FUSE.
	return pick(r, "chown ", "lchown ") + g.path() + " " + g.id() + " " + pick(r, "0", "1000", "1001", "1002")
}

// fileCall returns a call of one of the other kinds, which are about what is in a file and about its attributes.
func (g generator) fileCall(kind int) string {
	r := g.r
	switch kind {
	case 21:
		return "truncate " + g.path() + " " + g.offset()
	case 22, 23:
		return "write " + g.path() + " " + g.offset() + " " + g.data()
	case 24:
		return "append " + g.path() + " " + g.data()
	case 25:
		return "utimes " + g.path() + " 5 " + pick(r, g.mtime, "now", "omit")
	case 26:
		return "setxattr " + g.path() + " user." + pick(r, "a", "b") + " " + g.data() + " " + pick(r, "0", "new",
			"replace")
	case 27:
		return "rmxattr " + g.path() + " user." + pick(r, "a", "b")
	case 28:
		return "setacl " + g.path() + " " + pick(r, "access", "default") + " " + g.acl()
	case 29:
		return "openfd " + g.file() + " " + g.path() + " " +
			pick(r, "r", "rw", "w", "rw|creat", "rw|trunc", "rw|creat|excl", "r|dir", "w|append") + "|nonblock 0644"
	case 30:
		return "tmpfile " + g.file() + " " + g.path() + " " + g.mode()
	case 31:
		return "linkfd " + g.file() + " " + g.path()
	case 32:
		return "fwrite " + g.file() + " " + g.offset() + " " + g.data()
	case 33:
		return "fstat " + g.file()
	case 34:
		return "fchmod " + g.file() + " " + g.mode()
	case 35:
		return "fallocate " + g.file() + " " + pick(r, "0", "keep", "punch|keep", "zero") + " " + g.offset() + " 3000"
	case 36:
		return "copy f " + g.offset() + " g " + g.offset() + " 2000"
	case 37:
		return "read " + g.path()
	case 38:
		return pick(r, "stat ", "lstat ", "ls ", "readlink ", "listxattr ") + g.path()
	}
	return "access " + g.path() + " " + strconv.Itoa(r.IntN(8))
}

// TestScript runs the script in the file that RCRUN_POSIX_SCRIPT names as "KIND:FILE", as failed runs print them.
func TestScript(t *testing.T) {
	name, file, ok := strings.Cut(os.Getenv("RCRUN_POSIX_SCRIPT"), ":")
	if !ok {
		t.Skip("RCRUN_POSIX_SCRIPT names no script")
	}
	text, err := os.ReadFile(file)
	must(t, err)
	d := newDuel(t, kinds[name])
	for line := range strings.Lines(string(text)) {
		if line, _, _ = strings.Cut(strings.TrimSpace(line), " = "); line != "" && line[0] != '#' {
			d.run(line)
		}
	}
	d.compare()
}
