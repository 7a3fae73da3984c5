package filecopy

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCopy copies files of various sizes, whole, with holes and nothing but a hole.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		size   int64
		data   string
		at     int64
		sparse bool // most of it must be a hole
	}{
		"empty":            {},
		"byte":             {1, "x", 0, false},
		"hole of a byte":   {1, "", 0, true},
		"block":            {oneBlock, strings.Repeat("b", oneBlock), 0, false},
		"end of a block":   {oneBlock, "end", oneBlock - 3, false},
		"hole of a block":  {oneBlock, "", 0, true},
		"more":             {oneBlock + 1, strings.Repeat("m", oneBlock+1), 0, false},
		"hole, then data":  {1 << 20, "data", 1<<20 - 4, true},
		"data, then hole":  {1 << 20, "data", 0, true},
		"several megabyte": {5<<20 + 7, strings.Repeat("0123456", 5<<20/7+1), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			from, err := os.Create(filepath.Join(dir, "from"))
			must(t, err)
			defer from.Close()
			must(t, from.Truncate(c.size))
			if c.data != "" {
				_, err = from.WriteAt([]byte(c.data), c.at)
				must(t, err)
			}
			to, err := os.Create(filepath.Join(dir, "to"))
			must(t, err)
			defer to.Close()
			size, err := from.Seek(0, 2)
			must(t, err)
			must(t, Copy(int(to.Fd()), int(from.Fd()), size))
			want, err := os.ReadFile(from.Name())
			must(t, err)
			got, err := os.ReadFile(to.Name())
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("of %d bytes, %d were copied, or others", len(want), len(got))
			}
			var st unix.Stat_t
			must(t, to.Sync())
			must(t, unix.Fstat(int(to.Fd()), &st))
			if c.sparse && st.Blocks*512 > 16<<10 {
				t.Errorf("the copy takes %d blocks", st.Blocks)
			}
		})
	}
}

// TestCopyOfLess copies a file that has become shorter than it was thought to be.
func TestCopyOfLess(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/from", []byte("less"), 0o600))
	from, err := os.Open(dir + "/from")
	must(t, err)
	defer from.Close()
	to, err := os.Create(dir + "/to")
	must(t, err)
	defer to.Close()
	must(t, Copy(int(to.Fd()), int(from.Fd()), 100))
	if got, err := os.ReadFile(dir + "/to"); err != nil || string(got) != "less"+strings.Repeat("\x00", 96) {
		t.Errorf("%q, %v", got, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
