package unionmount

import (
	"fmt"
	"slices"
	"testing"
)

// reader reads a directory as a process does, some entries at a time.
type reader struct {
	f      *fixture
	dir    *Node
	batch  int
	cookie uint64
	seen   map[string]int
}

// next returns the names of the next entries but "." and "..", and none at the end.
func (r *reader) next() (names []string) {
	r.f.t.Helper()
	for len(names) == 0 {
		taken := 0
		must(r.f.t, r.f.u.Readdir(r.dir, r.cookie, func(e *Dirent) bool {
			if taken == r.batch {
				return false
			}
			taken++
			r.cookie = e.Cookie
			if e.Node != nil {
				names = append(names, e.Name)
				r.seen[e.Name]++
				r.f.u.Forget(e.Node, 1)
			}
			return true
		}))
		if taken == 0 {
			break
		}
	}
	return names
}

// changes are what a process does to each entry that it meets.
var changes = map[string]func(f *fixture, name string) error{
	"renames":  func(f *fixture, name string) error { return f.rename("d/"+name, "d/"+name+"x", 0) },
	"makes":    func(f *fixture, name string) error { return f.create("d/"+name+"x", 0o644) },
	"replaces": func(f *fixture, name string) error { return replace(f, name) },
	"links":    func(f *fixture, name string) error { return f.link("d/"+name, "d/"+name+"x") },
}

// replace makes a file in the place of another, as editors do.
func replace(f *fixture, name string) error {
	if err := f.create("d/new", 0o644); err != nil {
		return err
	}
	return f.rename("d/new", "d/"+name, 0)
}

const many = 400

// manyFiles returns a directory of many files, those with the numbers from first on.
func manyFiles(first int) tree {
	tr := tree{}
	for i := first; i < many; i++ {
		tr[fmt.Sprintf("d/%04d", i)] = file("")
	}
	return tr
}

// populated are unions with many files in a directory, in the layers.
var populated = map[string]func(t *testing.T) *fixture{
	"upper": func(t *testing.T) *fixture {
		f := newUnion(t)
		must(t, f.mkdir("d", 0o755))
		for i := range many {
			must(t, f.create(fmt.Sprintf("d/%04d", i), 0o644))
		}
		return f
	},
	"lower":     func(t *testing.T) *fixture { return newUnion(t, manyFiles(0)) },
	"merged":    func(t *testing.T) *fixture { return mergeMany(t, newUnion(t, manyFiles(many/2), manyFiles(many/4))) },
	"hostowned": func(t *testing.T) *fixture { return mergeMany(t, newHostUnion(t, rootIsMe(), manyFiles(many/4))) },
}

// mergeMany makes those files that the lowers do not have.
func mergeMany(t *testing.T, f *fixture) *fixture {
	for i := range many / 4 {
		must(t, f.create(fmt.Sprintf("d/%04d", i), 0o644))
	}
	return f
}

// TestReadingEnds has two processes read a directory, of which one changes something for each entry that it meets: both
// come to an end, and see what was there all the time exactly once.
func TestReadingEnds(t *testing.T) {
	for where, populate := range populated {
		for what, change := range changes {
			t.Run(where+" "+what, func(t *testing.T) {
				f := populate(t)
				must(t, f.at("d", func(n *Node) error {
					changer := &reader{f: f, dir: n, batch: 30, seen: map[string]int{}}
					other := &reader{f: f, dir: n, batch: 7, seen: map[string]int{}}
					other.next()
					for names := changer.next(); len(names) > 0; names = changer.next() {
						for _, name := range names {
							must(t, change(f, name))
						}
						other.next()
						if len(changer.seen) > 2*many {
							t.Fatalf("%d names were seen", len(changer.seen))
						}
					}
					for len(other.next()) > 0 {
					}
					changer.check("the one that "+what, what != "renames")
					other.check("another", what == "makes" || what == "links")
					return nil
				}))
			})
		}
	}
}

// check wants no name to have been seen twice, nor a file by both its names, and what stayed to have been seen.
func (r *reader) check(who string, stayed bool) {
	r.f.t.Helper()
	for name, times := range r.seen {
		if times > 1 || len(name) > 4 && r.seen[name[:4]] > 0 {
			r.f.t.Fatalf("%s saw %s %d times, and %s", who, name, times, name[:4])
		}
	}
	for i := range many {
		if name := fmt.Sprintf("%04d", i); stayed && r.seen[name] != 1 {
			r.f.t.Fatalf("%s saw %s %d times", who, name, r.seen[name])
		}
	}
}

// TestReadingGoesOnAtCookies keeps the cookies of a directory, as telldir does, and goes on at each of them after names
// have come and gone. At the beginning again, everything is seen.
func TestReadingGoesOnAtCookies(t *testing.T) {
	f := populated["merged"](t)
	must(t, f.at("d", func(n *Node) error {
		r := &reader{f: f, dir: n, batch: 1, seen: map[string]int{}}
		var order []string
		cookies := map[string]uint64{}
		for names := r.next(); len(names) > 0; names = r.next() {
			order = append(order, names[0])
			cookies[names[0]] = r.cookie
		}
		for i := 0; i < many; i += 2 {
			must(t, f.unlink("d/"+order[i]))
			must(t, f.create("d/new"+order[i], 0o644))
		}
		for i := 0; i < many; i += 13 {
			r.cookie = cookies[order[i]]
			if want := order[min((i+1)|1, many-1):][:1]; i < many-1 && !slices.Equal(r.next(), want) {
				t.Errorf("after %s does not come %s", order[i], want)
			}
		}
		again := &reader{f: f, dir: n, batch: 50, seen: map[string]int{}}
		for len(again.next()) > 0 {
		}
		if len(again.seen) != many {
			t.Errorf("from the beginning, %d names are seen", len(again.seen))
		}
		return nil
	}))
}
