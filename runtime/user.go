package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// maxUserFile bounds what is read of a container's passwd and group files.
const maxUserFile = 16 << 20

// findUser looks up Process.User.Username ("name|uid[:group|gid]") in the container's own passwd and group files, as
// they are at this moment. It sets the ids and groups, and HOME where the environment has none. It runs inside the
// container, so that what is mounted over the files counts and no link leads out. Without a Username the ids hold as
// they are.
func (p *payload) findUser() error {
	who := &p.Process.User
	if who.Username == "" {
		return nil
	}
	passwd, err := readUserFile("/etc/passwd")
	if err != nil {
		return err
	}
	group, err := readUserFile("/etc/group")
	if err != nil {
		return err
	}
	found, err := user.GetExecUser(who.Username, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return err
	}
	if !isID(found.Uid) || !isID(found.Gid) {
		return fmt.Errorf("user %s has the ids %d:%d, which there cannot be", who.Username, found.Uid, found.Gid)
	}
	who.UID, who.GID = uint32(found.Uid), uint32(found.Gid)
	for _, gid := range found.Sgids {
		// The user is not in a group that the map does not have.
		if isID(gid) && p.IDs.hasGID(uint32(gid)) {
			who.AdditionalGids = append(who.AdditionalGids, uint32(gid))
		}
	}
	p.setHome(found.Home)
	return nil
}

// isID tells whether a number of the container's files is an id: the files may contain any number.
func isID(n int) bool { return n >= 0 && n < math.MaxUint32 }

func (p *payload) setHome(home string) {
	for _, variable := range p.Process.Env {
		if strings.HasPrefix(variable, "HOME=") {
			return
		}
	}
	p.Process.Env = append(p.Process.Env, "HOME="+home)
}

// readUserFile reads a file of the container, which may be anything. It reads only a regular file, does not wait for
// the other end of a fifo, and follows no magic link. A missing file counts as empty.
func readUserFile(path string) (io.Reader, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return bytes.NewReader(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: it is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxUserFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return bytes.NewReader(text), nil
}
