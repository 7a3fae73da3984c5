package fuseoverlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// overflowID is the id that the kernel shows for an id that a user namespace does not map.
const overflowID = 65534

// union completes the description of the mount at a directory: it makes paths absolute, and layers of one kind.
func (o overlayOptions) union(target string) (mounted.Filesystem, error) {
	m := o.mount
	if len(o.lowers) == 0 && m.Union.Upper == "" {
		return m, fmt.Errorf("lowerdir or upperdir is needed")
	}
	if m.Union.Upper == "" && m.Union.Work != "" {
		return m, errors.New("workdir without upperdir: nothing could be written")
	}
	if m.Union.Upper == "" {
		m.Mount.Flags |= unix.MS_RDONLY
	}
	for _, path := range []*string{&m.Union.Upper, &m.Union.Work} {
		if err := makeAbsolute(path); err != nil {
			return m, err
		}
	}
	var err error
	if m.Target, err = filepath.Abs(target); err == nil {
		m.Target, err = filepath.EvalSymlinks(m.Target)
	}
	if err != nil {
		return m, fmt.Errorf("find mount point: %w", err)
	}
	for _, dir := range o.lowers {
		lower := o.layer()
		lower.Dir = dir
		if err := makeAbsolute(&lower.Dir); err != nil {
			return m, err
		}
		if o.ownership == unionmount.CallerOwned { // as for the layers of the store
			lower.Index = filepath.Join(filepath.Dir(lower.Dir), "index")
		}
		m.Union.Lowers = append(m.Union.Lowers, lower)
	}
	upper := o.layer()
	upper.StatXattr = o.statXattr
	if o.ownership == unionmount.HostOwned { // other uppers refer in their own way
		upper.Redirect, upper.Metacopy = o.redirect, o.metacopy
	}
	m.Union.UpperAs = &upper
	m.Union.SideXattrs = o.ownership == unionmount.CallerOwned && layerfmt.WithoutXattrs(os.Getenv)
	m.Mount.AllowOther = m.Mount.AllowOther || o.allowOther
	o.squash(&m)
	return m, nil
}

// makeAbsolute makes a path absolute, if there is one.
func makeAbsolute(path *string) error {
	if *path == "" {
		return nil
	}
	abs, err := filepath.Abs(*path)
	if err != nil {
		return fmt.Errorf("find directory %s: %w", *path, err)
	}
	*path = abs
	return nil
}

// layer describes any layer, except its directory.
func (o overlayOptions) layer() unionmount.Layer {
	l := unionmount.Layer{Ownership: o.ownership}
	if o.ownership == unionmount.HostOwned {
		all := idmap.Everything()
		l.UIDs, l.GIDs, l.Unmapped, l.Follow = all, all, overflowID, !o.nofollow
		if o.uids != nil {
			l.UIDs = o.uids
		}
		if o.gids != nil {
			l.GIDs = o.gids
		}
	}
	return l
}

// squash shows all files as root's, unless an owner was named.
func (o overlayOptions) squash(m *mounted.Filesystem) {
	if !o.squashRoot {
		return
	}
	root := uint32(0)
	if m.SquashUID == nil {
		m.SquashUID = &root
	}
	if m.SquashGID == nil {
		m.SquashGID = &root
	}
}
