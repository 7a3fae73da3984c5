package filecopy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

const kib = 1 << 10

// sparseContents are contents with zeros at every kind of place.
func sparseContents() map[string][]byte {
	x, zeros := bytes.Repeat([]byte("x"), 64*kib), make([]byte, 64*kib)
	return map[string][]byte{
		"empty":         nil,
		"zeros":         zeros,
		"one zero":      {0},
		"data":          x,
		"hole at first": slices.Concat(zeros, x),
		"hole at last":  slices.Concat(x, zeros),
		"hole within":   slices.Concat(x, zeros, x),
		"odd end":       slices.Concat(zeros, x, []byte("end")),
		"odd hole":      slices.Concat(x, zeros, []byte{0, 0, 0}),
		"not aligned":   slices.Concat(x[:100], zeros, x[:100], zeros),
	}
}

// blocksOfData counts the blocks of a content that are not zeros.
func blocksOfData(content []byte) (n int) {
	for block := range slices.Chunk(content, oneBlock) {
		if !bytes.Equal(block, make([]byte, len(block))) {
			n++
		}
	}
	return n
}

func TestFillLeavesHoles(t *testing.T) {
	for name, content := range sparseContents() {
		for _, size := range []int{oneBlock, 16 * kib, 1 << 20} {
			path := filepath.Join(t.TempDir(), "file")
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			n, err := Fill(int(file.Fd()), iotest.OneByteReader(bytes.NewReader(content)), make([]byte, size))
			if err != nil || n != int64(len(content)) {
				t.Fatalf("%s: %d bytes, %v; want %d", name, n, err, len(content))
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s in pieces of %d: other content, %v", name, size, err)
			}
			var st unix.Stat_t
			if err := errors.Join(unix.Fsync(int(file.Fd())), unix.Fstat(int(file.Fd()), &st)); err != nil {
				t.Fatal(err)
			}
			if most := int64(blocksOfData(content)) * oneBlock / 512; st.Blocks > most {
				t.Errorf("%s in pieces of %d: takes %d blocks of 512 bytes, want %d at most", name, size, st.Blocks,
					most)
			}
		}
	}
}

func TestReaderReadsHoles(t *testing.T) {
	for name, content := range sparseContents() {
		file, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := Fill(int(file.Fd()), bytes.NewReader(content), make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(NewReader(file, int64(len(content))), content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReaderHeedsSize reads files that have become longer and shorter since their size was read.
func TestReaderHeedsSize(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(strings.Repeat("x", 64*kib)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(NewReader(file, 10*kib)); err != nil || len(got) != 10*kib {
		t.Errorf("of a longer file: %d bytes, %v", len(got), err)
	}
	if got, err := io.ReadAll(NewReader(file, 65*kib)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of a shorter file: %d bytes, %v; want %v", len(got), err, io.ErrUnexpectedEOF)
	}
}

// TestReaderLooksNoFurther reads a file whose hole no disk could be read through in the time of a test.
func TestReaderLooksNoFurther(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const size = 1 << 40
	if err := file.Truncate(size); err != nil {
		t.Skip("the filesystem has no such large files:", err)
	}
	r := NewReader(file, size)
	if n, err := r.Read(make([]byte, 512)); n != 512 || err != nil || r.start != size {
		t.Errorf("%d bytes, %v; data is thought to begin at %d, want %d", n, err, r.start, int64(size))
	}
}
