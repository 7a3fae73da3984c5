package fusefs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// largeSizes are about the sizes of requests that are answered through a pipe, and several of them.
var largeSizes = []int{spliceMin - 1, spliceMin, spliceMin + 1, 3*spliceMin + 17, spliceMost, spliceMost + 4096,
	1 << 20, 3<<20 + 5}

func largeData(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16 ^ size)
	}
	return data
}

// TestLargeReads reads what the kernel does not know yet: from a lower file, from one whose attributes were changed,
// from a copy, and at places that are not aligned.
func TestLargeReads(t *testing.T) {
	files := map[string]string{}
	for _, size := range largeSizes {
		files[fmt.Sprintf("lower/%d", size)] = string(largeData(size))
		files[fmt.Sprintf("changed/%d", size)] = string(largeData(size))
		files[fmt.Sprintf("copied/%d", size)] = string(largeData(size))
	}
	m := withLower(t, files)
	m.run(t, func(t *testing.T, mnt string) {
		for _, size := range largeSizes {
			want := largeData(size)
			must(t, os.Chmod(fmt.Sprintf("%s/changed/%d", mnt, size), 0o600))
			f, err := os.OpenFile(fmt.Sprintf("%s/copied/%d", mnt, size), os.O_RDWR|os.O_APPEND, 0)
			must(t, err)
			_, err = f.WriteString("more")
			must(t, err)
			must(t, f.Close())
			for dir, want := range map[string][]byte{"lower": want, "changed": want,
				"copied": append(bytes.Clone(want), "more"...)} {
				got, err := os.ReadFile(fmt.Sprintf("%s/%s/%d", mnt, dir, size))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s/%d: read %d bytes, %v", dir, size, len(got), err)
				}
			}
		}
	})
}

// TestLargeReadsWhileTruncated reads a file that is cut off and filled again meanwhile: all data that is read was
// there at some time.
func TestLargeReadsWhileTruncated(t *testing.T) {
	m := newMounted(t, 1)
	m.run(t, func(t *testing.T, mnt string) {
		path := mnt + "/file"
		data := bytes.Repeat([]byte("x"), 1<<20)
		must(t, os.WriteFile(path, data, 0o644))
		done := make(chan error)
		go func() {
			for range 50 {
				if err := os.Truncate(path, 100_000); err != nil {
					done <- err
					return
				}
				if err := os.WriteFile(path, data, 0o644); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for {
			select {
			case err := <-done:
				must(t, err)
				wantFile(t, path, string(data))
				return
			default:
			}
			f, err := os.Open(path)
			must(t, err)
			must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
			got, err := io.ReadAll(f)
			if err != nil || len(bytes.Trim(got, "x\x00")) != 0 {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
			must(t, f.Close())
		}
	})
}
