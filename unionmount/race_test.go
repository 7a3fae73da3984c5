package unionmount

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSwapsFromOutside exchanges a directory and a file of each layer, again and again, for links that lead out of
// it, while the union reads and writes them. Operations may fail, but must neither show nor change files outside.
func TestSwapsFromOutside(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/outside", 0o755))
	must(t, os.WriteFile(dir+"/outside/f", []byte(secret), 0o600))
	f := plantUnion(t, dir, tree{"low/f": file("inside"), "lowlink": symlink("../outside"), "file": file("inside"),
		"filelink": symlink("../outside/f")})
	tree{"up/f": file("inside"), "uplink": symlink("../outside"), "new": file("inside"),
		"newlink": symlink("../outside/f")}.plant(t, f.opts.Upper)
	f.opts.SideXattrs = false // since the upper is not new
	f.open()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			swap(f.opts.Lowers[0].Dir, "low", "lowlink")
			swap(f.opts.Lowers[0].Dir, "file", "filelink")
			swap(f.opts.Upper, "up", "uplink")
			swap(f.opts.Upper, "new", "newlink")
		}
	}()
	for range 3000 {
		for _, path := range []string{"low/f", "up/f", "file", "new"} {
			n, err := f.walk(path)
			if err != nil {
				continue
			}
			buf := make([]byte, 100)
			if got, err := f.u.Read(n, buf, 0); err == nil && string(buf[:got]) == secret {
				t.Errorf("%s shows what is outside", path)
			}
			if path == "up/f" || path == "new" {
				f.u.Write(n, []byte("I"), 0, asRoot)
				f.chmod(path, 0o640)
			}
			f.u.Forget(n, 1)
		}
	}
	close(stop)
	<-stopped
	must(t, f.u.Close())
	var st unix.Stat_t
	must(t, unix.Stat(dir+"/outside/f", &st))
	if data, err := os.ReadFile(dir + "/outside/f"); err != nil || string(data) != secret ||
		st.Mode != unix.S_IFREG|0o600 {
		t.Errorf("outside there is %q with mode %o, %v", data, st.Mode, err)
	}
}

// swap exchanges two names of a directory; that the union has removed or renamed one of them does not matter.
func swap(dir, a, b string) {
	unix.Renameat2(unix.AT_FDCWD, dir+"/"+a, unix.AT_FDCWD, dir+"/"+b, unix.RENAME_EXCHANGE)
}
