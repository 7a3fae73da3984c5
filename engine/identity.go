package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// addedUsers are the users that a container which keeps the caller's id should know: the caller, and the one it is
// started as. Where the image has no entry for them they get one in the init layer. So the files are like the image's,
// programs can change them, and neither diff nor commit has the entries unless a program does.
func (c *Container) addedUsers() []user.User {
	if c.HostConfig.UsernsMode != rootless.ModeKeepID {
		return nil
	}
	caller := user.User{Uid: os.Getuid(), Gid: os.Getgid(), Name: fmt.Sprintf("user%d", os.Getuid())}
	if u, err := osuser.LookupId(strconv.Itoa(caller.Uid)); err == nil {
		caller.Name = u.Username
	}
	users := []user.User{caller}
	if uid, gid, ok := numericUser(c.Config.User); ok && uid != caller.Uid {
		users = append(users, user.User{Uid: uid, Gid: gid, Name: strconv.Itoa(uid)})
	}
	return users
}

// numericUser reads a user that is given by number, "uid[:gid]". Without a group it is root's, as in Docker.
func numericUser(text string) (uid, gid int, ok bool) {
	owner, group, _ := strings.Cut(text, ":")
	id, err := strconv.ParseUint(owner, 10, 31)
	if err != nil {
		return 0, 0, false
	}
	if gid, err = strconv.Atoi(group); err != nil {
		gid = 0
	}
	return int(id), gid, true
}

// maxUserFile bounds what is read of a passwd or group file.
const maxUserFile = 16 << 20

// addUser gives a user an entry in the tree's passwd file and one for its group, where they have none, and a home. A
// tree without these files is left as it is.
func (t tree) addUser(u user.User) error {
	added, err := t.addLine("/etc/passwd", func(text []byte) (string, error) {
		known, err := user.ParsePasswd(bytes.NewReader(text))
		if err != nil || slices.ContainsFunc(known, func(k user.User) bool { return k.Uid == u.Uid }) {
			return "", err
		}
		if slices.ContainsFunc(known, func(k user.User) bool { return k.Name == u.Name }) {
			u.Name = fmt.Sprintf("user%d", u.Uid)
		}
		u.Home = "/home/" + u.Name
		return fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", u.Name, u.Uid, u.Gid, u.Home), nil
	})
	if err != nil || !added {
		return err
	}
	_, err = t.addLine("/etc/group", func(text []byte) (string, error) {
		known, err := user.ParseGroup(bytes.NewReader(text))
		if err != nil || slices.ContainsFunc(known, func(k user.Group) bool { return k.Gid == u.Gid }) {
			return "", err
		}
		name := u.Name
		if slices.ContainsFunc(known, func(k user.Group) bool { return k.Name == name }) {
			name = fmt.Sprintf("group%d", u.Gid)
		}
		return fmt.Sprintf("%s:x:%d:\n", name, u.Gid), nil
	})
	if err != nil {
		return err
	}
	return t.makeHome(u)
}

// addLine appends what line returns for the content of a file; nothing for "". It tells whether it did.
func (t tree) addLine(file string, line func(text []byte) (string, error)) (added bool, err error) {
	node, err := t.walk(file, nil)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || err == nil && node.Kind() != unix.S_IFREG {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	text, err := t.readFile(node, maxUserFile)
	if err != nil {
		return false, err
	}
	more, err := line(text)
	if err != nil || more == "" {
		return false, err
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		more = "\n" + more
	}
	_, err = t.union.Write(node, []byte(more), int64(len(text)), unionmount.Caller{Privileged: true})
	return err == nil, err
}

// makeHome makes a user's home where there is nothing.
func (t tree) makeHome(u user.User) error {
	dir, err := t.walk(path.Dir(u.Home), t.makeRootsDir)
	if err != nil || dir.Kind() != unix.S_IFDIR {
		return err
	}
	_, _, err = t.union.Mkdir(dir, path.Base(u.Home), 0o700, unionmount.Owner{UID: uint32(u.Uid), GID: uint32(u.Gid)})
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// homeOfRoot is a home that root of the container can use where the one that passwd names is out of the caller's reach:
// that of the host's root, where the root filesystem is the host's. It is the caller's own then, if the container has
// it; "" where passwd's will do.
func (c *Container) homeOfRoot() string {
	dir := c.HostConfig.Rootfs
	if dir == "" || !c.HostConfig.RootfsOverlay || unix.Access(filepath.Join(dir, "root"), unix.W_OK|unix.X_OK) == nil {
		return ""
	}
	home := os.Getenv("HOME")
	inside := filepath.Join(dir, home)
	if filepath.IsAbs(home) && unix.Access(inside, unix.W_OK|unix.X_OK) == nil && sameDevice(dir, inside) {
		return home
	}
	return "/tmp"
}

// sameDevice tells whether two files are on one filesystem: others are not in the container.
func sameDevice(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev
}

// isRoot tells whether a user as the flags name it is root.
func isRoot(name string) bool {
	owner, _, _ := strings.Cut(name, ":")
	return owner == "0" || owner == "root"
}

// checkUser refuses a user by number that the container's map does not have.
func checkUser(name string, ids rootless.Map) error {
	uid, gid, ok := numericUser(name)
	if !ok {
		return nil // of one by name, the container's files tell the number
	}
	_, hasUID := ids.UIDs.ToHost(uint32(uid))
	_, hasGID := ids.GIDs.ToHost(uint32(gid))
	if hasUID && hasGID {
		return nil
	}
	advice := "choose one that it has (cat /proc/self/uid_map in a container shows them)"
	if uid == os.Getuid() {
		advice = "with HostConfig.UsernsMode=keep-id, you have this id inside, too"
	}
	return invalidf("user %d:%d is not in the id map of the container: %s", uid, gid, advice)
}

// warnOfUser returns a sentence where the caller's own id was asked for, and means somebody else inside.
func (c *Container) warnOfUser() []string {
	uid, _, ok := numericUser(c.Config.User)
	switch c.HostConfig.UsernsMode {
	case rootless.ModeKeepID, rootless.ModeNoMap:
		return nil
	}
	if !ok || uid == 0 || uid != os.Getuid() || !c.HostConfig.hasBinds() {
		return nil
	}
	return []string{fmt.Sprintf("in the container, you are user 0, and user %d is somebody else, "+
		"who may not be able to write to what HostConfig.Binds mounts: leave out Config.User, or add "+
		"HostConfig.UsernsMode=keep-id", uid)}
}
