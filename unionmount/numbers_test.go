package unionmount

import (
	"os"
	"strings"
	"testing"

	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// records returns the notes of inode numbers in the index.
func (f *fixture) records() (found []string) {
	f.t.Helper()
	entries, err := os.ReadDir(f.opts.Work + "/index")
	must(f.t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), workdir.CopyPrefix) {
			found = append(found, e.Name())
		}
	}
	return found
}

// TestSpecialFilesKeepTheirNumbers checks that st_ino and the time of birth of files that can carry no xattrs survive
// copy-up, renaming and remounts, and the notes of them to go with the files.
func TestSpecialFilesKeepTheirNumbers(t *testing.T) {
	f := newHostUnion(t, rootIsMe(), tree{"d/link": symlink("target"), "d/other": symlink("other")})
	f.close()
	must(t, unix.Mkfifo(f.opts.Lowers[0].Dir+"/d/fifo", 0o640))
	must(t, unix.Mknod(f.opts.Lowers[0].Dir+"/d/socket", unix.S_IFSOCK|0o600, 0))
	f.open()
	names := []string{"fifo", "socket", "link"}
	want := map[string]Attr{}
	born := map[string]unix.Timespec{}
	for _, name := range names {
		want[name] = f.stat("d/" + name)
		must(t, f.at("d/"+name, func(n *Node) (err error) { born[name], err = f.u.Birth(n); return err }))
		must(t, f.rename("d/"+name, "d/x"+name, 0))
		must(t, f.chown("d/x"+name, 0, 0))
		must(t, f.link("d/x"+name, name))
	}
	f.remounted(func() {
		for _, name := range names {
			for _, path := range []string{name, "d/x" + name} {
				if a := f.stat(path); a.Ino != want[name].Ino || a.Nlink != 2 {
					t.Errorf("%s has inode number %d and %d names, want %d and 2", path, a.Ino, a.Nlink, want[name].Ino)
				}
				must(t, f.at(path, func(n *Node) error {
					b, err := f.u.Birth(n)
					if b != born[name] {
						t.Errorf("%s was born at %v, want %v", path, b, born[name])
					}
					return err
				}))
			}
		}
	})
	if got := f.records(); len(got) != len(names) {
		t.Errorf("notes: %q", got)
	}
	for _, name := range names {
		must(t, f.unlink(name))
	}
	if got := f.records(); len(got) != len(names) {
		t.Errorf("notes, after one of two names is gone: %q", got)
	}
	must(t, f.unlink("d/xfifo"))
	must(t, f.rename("d/other", "d/xsocket", 0))
	must(t, f.symlink("new", "new"))
	must(t, f.rename("new", "d/xlink", 0))
	if got := f.records(); len(got) != 1 { // of other
		t.Errorf("notes, after the files are gone: %q", got)
	}
	f.reopen()
}

// TestNoteOfAnotherFileIsNotBelieved has a crash leave a note, and another file get the inode number.
func TestNoteOfAnotherFileIsNotBelieved(t *testing.T) {
	f := newHostUnion(t, rootIsMe(), tree{"f": file("")})
	must(t, f.symlink("target", "new"))
	var st unix.Stat_t
	must(t, unix.Lstat(f.opts.Upper+"/new", &st))
	f.close()
	stale := workdir.Copy{Ino: st.Ino, Born: unix.Timespec{Sec: 5}, From: workdir.Origin{Ino: 12345}}
	must(t, os.WriteFile(f.opts.Work+"/index/"+stale.FileName(), nil, 0o600))
	for _, odd := range []string{"copy-", "copy-1-2-3", "copy-x-5.0-7", "copy-5-5.5"} {
		must(t, os.WriteFile(f.opts.Work+"/index/"+odd, nil, 0o600))
	}
	f.open()
	if a := f.stat("new"); a.Ino == 12345 {
		t.Error("it shows the number of a file that is gone")
	}
}
