package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	graphdriver "go.podman.io/storage/drivers"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/internal/scratch"
)

// Status tells what the filesystem below the driver can do. It tries that out.
func (d *Driver) Status() [][2]string {
	status := [][2]string{{"Backing Filesystem", BackingFilesystem(d.Layout.Home)}}
	place, err := scratch.New(d.Layout.Staging())
	if err != nil {
		return append(status, [2]string{"Error", err.Error()})
	}
	defer place.Close()
	owners := layerfmt.StatXattr
	if d.Layout.Plain {
		owners = "indexes and records, without xattrs"
	}
	return append(status,
		[2]string{"Layer Encoding", "files of the caller's, owners in " + owners},
		[2]string{"User Xattrs", strconv.FormatBool(keepsXattrs(place.Path))},
		[2]string{"Whiteouts", whiteoutKind(place.Path)},
		[2]string{"Reflink", strconv.FormatBool(clonesFiles(place.Path))},
		[2]string{"Quota", "on, for each container: size, inodes"},
	)
}

// BackingFilesystem returns the name of a directory's filesystem, as the library's drivers call it.
func BackingFilesystem(dir string) string {
	magic, err := graphdriver.GetFSMagic(dir)
	if err != nil {
		return err.Error()
	}
	if name, ok := graphdriver.FsNames[magic]; ok {
		return name
	}
	return fmt.Sprintf("type %#x", uint32(magic))
}

// whiteoutKind tells how deletions are written.
func whiteoutKind(dir string) string {
	if err := unix.Mknod(filepath.Join(dir, "whiteout"), unix.S_IFCHR, 0); err != nil {
		return "files " + layerfmt.WhiteoutPrefix + "NAME"
	}
	return "devices 0:0"
}

// clonesFiles tells whether copies of files share their blocks.
func clonesFiles(dir string) bool {
	from, err := os.Create(filepath.Join(dir, "from"))
	if err != nil {
		return false
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "to"))
	if err != nil {
		return false
	}
	defer to.Close()
	_, err = from.WriteString("data")
	return errors.Join(err, unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))) == nil
}
