package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// leastExchanges is how often each entry is exchanged at least while a tree is read.
const leastExchanges = 10_000

// exchangeAll exchanges the entries NAME and NAME.link of dir until stop is called.
func exchangeAll(t *testing.T, dir string, names ...string) (count *atomic.Int64, stop func()) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	count = &atomic.Int64{}
	var exchanger sync.WaitGroup
	done := make(chan struct{})
	exchanger.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			for _, name := range names {
				if err := unix.Renameat2(fd, name, fd, name+".link", unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
			count.Add(1)
		}
	})
	return count, func() { close(done); exchanger.Wait(); unix.Close(fd) }
}

// makeExchangeable makes a tree whose entries d, f and s can be exchanged for links out of it, and what these lead to.
func makeExchangeable(t *testing.T) (dir string) {
	t.Helper()
	base := t.TempDir()
	dir, outside := filepath.Join(base, "tree"), filepath.Join(base, "outside")
	err := errors.Join(os.MkdirAll(dir+"/d/sub", 0o700), os.MkdirAll(outside+"/secret-dir", 0o700))
	for i := range 30 {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "d/sub", strconv.Itoa(i)), []byte("mine"), 0o600),
			os.WriteFile(filepath.Join(outside, "secret-dir", strconv.Itoa(i)), []byte("secret"), 0o600))
	}
	err = errors.Join(err, os.WriteFile(dir+"/f", []byte("mine"), 0o600),
		os.WriteFile(outside+"/secret", []byte("secret"), 0o600),
		unix.Setxattr(outside+"/secret", "user.secret", []byte("secret"), 0),
		unix.Setxattr(outside+"/secret-dir", "user.secret", []byte("secret"), 0),
		os.Symlink("../outside", dir+"/d.link"), os.Symlink("../outside/secret", dir+"/f.link"),
		os.Mkdir(dir+"/s", 0o700),
		os.Symlink("../outside/secret-dir", dir+"/s.link"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReadWhileExchanged reads a tree in all ways while a container exchanges its directories and files for links that
// lead out of it. No name and no byte of what they lead to may come in, and nothing may fail.
func TestReadWhileExchanged(t *testing.T) {
	dir := makeExchangeable(t)
	count, stop := exchangeAll(t, dir, "d", "f", "s")
	defer stop()
	empty := t.TempDir()
	for _, owned := range []bool{false, true} {
		live := Tree{Dir: dir, HostOwned: owned}
		lowers := Lowers{{Dir: empty, HostOwned: owned}}
		for name, read := range map[string]func(w io.Writer) error{
			"pack":    func(w io.Writer) error { return Pack(live, w, PackOptions{Lowers: lowers}) },
			"flatten": func(w io.Writer) error { return Pack(live, w, PackOptions{Lowers: lowers, Flatten: true}) },
			"changes": func(w io.Writer) error { return writeChanges(w, Changes, live, lowers) },
			"compare": func(w io.Writer) error {
				return writeChanges(w, func(_ context.Context, t Tree, l Lowers, _ Writable) ([]Change,
					error) {
					return Compare(context.Background(), Lowers{t}, l)
				}, live, lowers)
			},
			"size": func(w io.Writer) error { return checkSize(live) },
		} {
			start := count.Load()
			for rounds := 0; rounds < 100 || count.Load()-start < leastExchanges; rounds++ {
				var out bytes.Buffer
				if err := read(&out); err != nil {
					t.Fatalf("%s, owners on disk %v: %v", name, owned, err)
				}
				if leaked := leaks(t, name, out.Bytes()); leaked != "" {
					t.Fatalf("%s, owners on disk %v: %s", name, owned, leaked)
				}
			}
		}
	}
}

func writeChanges(w io.Writer, list func(context.Context, Tree, Lowers, Writable) ([]Change, error), live Tree,
	lowers Lowers) error {
	changes, err := list(context.Background(), live, lowers, Writable{})
	for _, c := range changes {
		io.WriteString(w, c.Path+"\n")
	}
	return err
}

// checkSize measures a tree whose files have 4 bytes each, while those outside have 6.
func checkSize(live Tree) error {
	size, err := Size(context.Background(), live)
	if err == nil && size%4 != 0 {
		err = errors.New("a file outside was counted")
	}
	return err
}

// leaks tells what of the files outside is in an output, "" for nothing. The targets of links are the container's own.
func leaks(t *testing.T, name string, output []byte) string {
	if name != "pack" && name != "flatten" {
		if strings.Contains(string(output), "secret") {
			return "it lists a name from outside:\n" + string(output)
		}
		return ""
	}
	for tr := tar.NewReader(bytes.NewReader(output)); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(hdr.Name+string(data), "secret") || len(hdr.PAXRecords["SCHILY.xattr.user.secret"]) > 0 {
			return "it has " + hdr.Name + " from outside: " + string(data)
		}
		if strings.HasPrefix(hdr.Name, "s/") && hdr.Name != "s/" || strings.HasPrefix(hdr.Name, "s.link/") &&
			hdr.Name != "s.link/" {
			return "it has " + hdr.Name + " of a directory that is empty"
		}
	}
}
