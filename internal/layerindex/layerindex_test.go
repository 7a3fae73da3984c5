package layerindex

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

func file(name string, ino uint64) Entry {
	return Entry{Name: name, Stat: layerfmt.Stat{Mode: unix.S_IFREG | 0o644}, Ino: ino, Nlink: 1}
}

func directory(name string, ino uint64) Entry {
	return Entry{Name: name, Stat: layerfmt.Stat{Mode: unix.S_IFDIR | 0o755}, Ino: ino, Nlink: 2}
}

// sample has an entry of every kind in the directory d, in the order of names.
func sample() []Entry {
	device := Entry{Name: "device", Stat: layerfmt.Stat{UID: 1, GID: 1<<32 - 2, Mode: unix.S_IFCHR | 0o4666,
		Rdev: unix.Mkdev(1, 3)}, Ino: 1 << 60, Nlink: 3}
	full := file("file", 12)
	full.Size, full.Blocks = 1<<40, 8
	full.Mtime, full.Ctime = unix.Timespec{Sec: -5, Nsec: 999999999}, unix.Timespec{Sec: 1 << 33}
	full.Xattrs = []Xattr{{"security.capability", "\x00\x01"}, {"user.empty", ""}}
	link := Entry{Name: "link", Stat: layerfmt.Stat{Mode: unix.S_IFLNK | 0o777}, Ino: 13, Nlink: 1, Target: "../x"}
	hiding := directory("opaque", 14)
	hiding.Opaque = true
	return []Entry{device, full, {Name: "gone", Whiteout: true}, link, hiding}
}

// encode returns an index of a root with the directory d, which has the given entries.
func encode(t testing.TB, entries []Entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	d, root := directory("d", 2), directory("", 1)
	if err := w.SetDir(&d, slices.Clone(entries)); err != nil {
		t.Fatal(err)
	}
	if err := w.SetDir(&root, []Entry{d, file("z", 3), file("a", 4)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(root); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// write puts an index into a file.
func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openDir(x *Index, path ...string) (Dir, error) {
	e := x.Root()
	d, err := x.Dir(&e, Dir{})
	for _, name := range path {
		if err != nil {
			return d, err
		}
		if e, _, err = d.Lookup(name); err == nil {
			d, err = x.Dir(&e, d)
		}
	}
	return d, err
}

func TestReadsWhatWasWritten(t *testing.T) {
	want := sample()
	shuffled := append(want[2:len(want):len(want)], want[:2]...)
	x, err := Open(write(t, encode(t, shuffled)))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if root := x.Root(); root.Ino != 1 || !root.IsDir() {
		t.Errorf("root %+v", root)
	}
	d, err := openDir(x, "d")
	if err != nil || d.Len() != len(want) {
		t.Fatalf("%d entries, %v", d.Len(), err)
	}
	var names []string
	if err := d.Names(func(name string) { names = append(names, name) }); err != nil {
		t.Fatal(err)
	}
	for i, e := range want {
		got, found, err := d.Lookup(e.Name)
		if err != nil || !found || names[i] != e.Name {
			t.Errorf("%s: %v, %v; listed %q", e.Name, found, err, names[i])
		}
		if diff := cmp.Diff(e, got, cmp.AllowUnexported(Entry{})); diff != "" {
			t.Errorf("%s: %s", e.Name, diff)
		}
	}
	i := 0
	err = d.Each(func(name string, isDir bool) bool {
		if i >= len(want) || name != want[i].Name || isDir != want[i].IsDir() {
			t.Errorf("entry %d is %s, a directory: %v", i, name, isDir)
		}
		i++
		return true
	})
	if err != nil || i != len(want) {
		t.Errorf("%d of %d entries, %v", i, len(want), err)
	}
	for _, name := range []string{"", "device0", "zzz", "A"} {
		if _, found, err := d.Lookup(name); found || err != nil {
			t.Errorf("%q: %v, %v", name, found, err)
		}
	}
}

func TestEmptyDirectory(t *testing.T) {
	x, err := Open(write(t, encode(t, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	d, err := openDir(x, "d")
	if _, found, lookup := d.Lookup("x"); err != nil || !d.Known() || d.Len() != 0 || found || lookup != nil {
		t.Errorf("%v, known %v, %d entries, found %v, %v", err, d.Known(), d.Len(), found, lookup)
	}
	if _, err := openDir(x, "z"); err != unix.ENOTDIR {
		t.Errorf("a file as a directory: %v", err)
	}
}

func TestManyEntries(t *testing.T) {
	var entries []Entry
	for i := range 10_000 {
		entries = append(entries, file(fmt.Sprintf("f%d", i), uint64(i+1)))
	}
	x, err := Open(write(t, encode(t, entries)))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	d, err := openDir(x, "d")
	for i := range 10_000 {
		if e, found, err := d.Lookup(fmt.Sprintf("f%d", i)); err != nil || !found || e.Ino != uint64(i+1) {
			t.Fatalf("f%d: %+v, %v, %v", i, e, found, err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLargeDirectoryIsVerified opens a spoilt directory, and a good one that was opened before.
func TestLargeDirectoryIsVerified(t *testing.T) {
	var entries []Entry
	for i := range 2000 {
		entries = append(entries, file(fmt.Sprintf("f%d", i), uint64(i+1)))
	}
	data := encode(t, entries)
	for _, spoil := range []byte{0, 1} {
		data[largeBlock/2] ^= spoil
		x, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := openDir(x, "d"); (err == nil) != (spoil == 0) {
				t.Errorf("spoilt by %d: %v", spoil, err)
			}
		}
	}
}

// TestEveryBitCounts flips each bit of an index and cuts it off everywhere: all that is still read is right.
func TestEveryBitCounts(t *testing.T) {
	whole := encode(t, sample())
	for at := range whole {
		if _, err := parse(whole[:at]); err == nil {
			t.Errorf("the first %d bytes are an index", at)
		}
		for bit := range 8 {
			broken := slices.Clone(whole)
			broken[at] ^= 1 << bit
			x, err := parse(broken)
			if err != nil {
				continue
			}
			d, err := openDir(x, "d")
			if err != nil {
				continue
			}
			for _, e := range sample() {
				if got, found, err := d.Lookup(e.Name); err != nil || !found ||
					!cmp.Equal(e, got, cmp.AllowUnexported(Entry{})) {
					t.Fatalf("bit %d of byte %d: %s is %+v, %v, %v", bit, at, e.Name, got, found, err)
				}
			}
		}
	}
}

func TestOtherVersionIsRefused(t *testing.T) {
	data := encode(t, nil)
	trailer := data[len(data)-trailerSize:]
	trailer[16]++
	copy(trailer, appendSum(trailer[:trailerSize-4]))
	if _, err := parse(data); err == nil {
		t.Error("it was read")
	}
}

func TestOpenRefuses(t *testing.T) {
	for what, path := range map[string]string{"nothing": filepath.Join(t.TempDir(), "none"), "a directory": t.TempDir(),
		"an empty file": write(t, nil)} {
		if x, err := Open(path); err == nil {
			t.Errorf("%s: %+v", what, x.Root())
		}
	}
}

// FuzzIndex reads an index with a directory of any records, at any positions, and any bytes as a whole.
func FuzzIndex(f *testing.F) {
	var records, positions []byte
	for _, e := range sample() {
		positions = binary.LittleEndian.AppendUint32(positions, uint32(len(records)))
		records = appendRecord(records, &e)
	}
	f.Add(records, positions)
	f.Fuzz(func(t *testing.T, records, positions []byte) {
		if x, err := parse(records); err == nil {
			t.Errorf("%d bytes without a checksum were read: %+v", len(records), x.root)
		}
		x, err := parse(around(records, positions[:len(positions)&^3]))
		if err != nil {
			t.Fatal(err)
		}
		root := x.Root()
		if d, err := x.Dir(&root, Dir{}); err == nil {
			walk(t, x, d, 1000)
		}
	})
}

// around returns an index whose root directory has the given records.
func around(records, positions []byte) []byte {
	b := []byte(magic)
	block := binary.LittleEndian.AppendUint32(nil, uint32(len(positions)/4))
	block = binary.LittleEndian.AppendUint32(block, uint32(len(records)))
	b = append(b, appendSum(slices.Concat(block, positions, records))...)
	out := bytes.NewBuffer(b)
	w := Writer{w: out, size: uint64(len(b))}
	root := directory("", 1)
	root.dir = uint64(len(magic))
	if w.Close(root) != nil {
		return nil
	}
	return out.Bytes()
}

// walk reads a directory and what is in it, as long as the budget lasts: many directories may have the same block.
func walk(t *testing.T, x *Index, d Dir, budget int) int {
	var names []string
	if err := d.Names(func(name string) { names = append(names, name) }); err != nil {
		return budget
	}
	for _, name := range names {
		e, found, err := d.Lookup(name)
		if budget--; err != nil || !found || budget <= 0 {
			continue
		}
		if e.Name != name || !validName([]byte(name)) {
			t.Fatalf("%q was found as %q", name, e.Name)
		}
		if sub, err := x.Dir(&e, d); err == nil {
			budget = walk(t, x, sub, budget)
		}
	}
	return budget
}
