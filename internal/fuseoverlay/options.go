package fuseoverlay

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// overlayOptions are the values of -o.
type overlayOptions struct {
	mount      mounted.Filesystem
	lowers     []string
	ownership  unionmount.Ownership
	uids, gids idmap.Map
	statXattr  string
	squashRoot bool
	allowOther bool // whatever the default says
	remount    bool // change the flags of an existing mount

	redirect, metacopy bool // whether the upper refers to the layers below
	nofollow           bool // whether references to the layers below are ignored

	strict  bool     // whether an unknown option is an error
	ignored []string // unknown options that are no error
}

// parseOverlayOptions reads options in order: later ones override earlier ones.
func parseOverlayOptions(lists []string, defaults overlayOptions) (overlayOptions, error) {
	o := defaults
	for _, list := range lists {
		for _, option := range splitOptions(list) {
			if err := o.set(option); err != nil {
				return o, fmt.Errorf("option %s: %w", option, err)
			}
		}
	}
	return o, nil
}

// valueOptions are the options with a value, which their function parses.
var valueOptions = map[string]func(o *overlayOptions, value string) error{
	"lowerdir": func(o *overlayOptions, value string) error {
		o.lowers = nil
		return o.addLowers(splitEscaped(value, ':'))
	},
	"lowerdir+": func(o *overlayOptions, value string) error { return o.addLowers([]string{value}) },
	"datadir+":  func(*overlayOptions, string) error { return errDataOnly },
	"verity":    (*overlayOptions).setVerity,
	"upperdir":  func(o *overlayOptions, value string) error { return setDir(&o.mount.Union.Upper, value) },
	"workdir":   func(o *overlayOptions, value string) error { return setDir(&o.mount.Union.Work, value) },
	"ownership": (*overlayOptions).setOwnership,
	"uidmapping": func(o *overlayOptions, value string) (err error) {
		o.uids, err = parseMapping(value)
		return err
	},
	"gidmapping": func(o *overlayOptions, value string) (err error) {
		o.gids, err = parseMapping(value)
		return err
	},
	"squash_to_uid":     func(o *overlayOptions, value string) error { return parseID(&o.mount.SquashUID, value) },
	"squash_to_gid":     func(o *overlayOptions, value string) error { return parseID(&o.mount.SquashGID, value) },
	"xattr_permissions": (*overlayOptions).setXattrPermissions,
	"redirect_dir":      (*overlayOptions).setRedirect,
	"metacopy": func(o *overlayOptions, value string) error {
		return parseEither(&o.metacopy, value, "off", "on")
	},
	"fsync": func(o *overlayOptions, value string) error {
		return parseEither(&o.mount.Union.Volatile, value, "1", "0")
	},
	"writeback": func(o *overlayOptions, value string) error {
		return parseEither(&o.mount.Writeback, value, "0", "1")
	},
	"noxattrs": func(o *overlayOptions, value string) error {
		return parseEither(&o.mount.NoXattrs, value, "0", "1")
	},
	"timeout": (*overlayOptions).setTimeout,
	"entry_timeout": func(o *overlayOptions, value string) error {
		return parseSeconds(&o.mount.EntryTimeout, value)
	},
	"negative_timeout": func(o *overlayOptions, value string) error {
		return parseSeconds(&o.mount.NegativeTimeout, value)
	},
	"attr_timeout": func(o *overlayOptions, value string) error {
		return parseSeconds(&o.mount.AttrTimeout, value)
	},
	"max_threads": func(o *overlayOptions, value string) error { return parseCount(&o.mount.Threads, value) },
	"threaded":    (*overlayOptions).setThreaded,
	"fsname": func(o *overlayOptions, value string) error {
		o.mount.Mount.Source = unescape(value)
		return nil
	},
	"subtype": func(o *overlayOptions, value string) error {
		o.mount.Mount.Subtype = unescape(value)
		return nil
	},
	"size": func(o *overlayOptions, value string) (err error) {
		o.mount.Union.Quota.Bytes, err = layerfmt.ParseSize(value)
		return err
	},
	"inodes": func(o *overlayOptions, value string) (err error) {
		o.mount.Union.Quota.Inodes, err = layerfmt.ParseInodes(value)
		return err
	},
	"context": func(o *overlayOptions, value string) error {
		o.mount.Mount.Context = strings.Trim(value, `"`)
		return nil
	},
	"max_read": func(o *overlayOptions, value string) error { return parseCount(&o.mount.Mount.MaxRead, value) },
}

// switchOptions are the options without a value.
var switchOptions = map[string]func(o *overlayOptions){
	"squash_to_root":      func(o *overlayOptions) { o.squashRoot = true },
	"static_nlink":        func(o *overlayOptions) { o.mount.Union.StaticNlink = true },
	"ino32_t":             func(o *overlayOptions) { o.mount.Union.Ino32 = true },
	"noacl":               func(o *overlayOptions) { o.mount.NoACL = true },
	"direct_io":           func(o *overlayOptions) { o.mount.DirectIO = true },
	"volatile":            func(o *overlayOptions) { o.mount.Union.Volatile = true },
	"allow_other":         func(o *overlayOptions) { o.allowOther = true },
	"allow_root":          func(o *overlayOptions) { o.allowOther, o.mount.Mount.AllowOther = false, false },
	"default_permissions": func(o *overlayOptions) { o.mount.Mount.DefaultPermissions = true },
	"debug":               func(o *overlayOptions) { o.mount.Debug = true },
	"remount":             func(o *overlayOptions) { o.remount = true },
}

// accessTimes are the flags of mount(2) that exclude one another.
const accessTimes = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME

// mountFlags are the options that set or clear flags of mount(2).
var mountFlags = map[string]struct{ clear, set uintptr }{
	"ro": {0, unix.MS_RDONLY}, "rw": {unix.MS_RDONLY, 0},
	"nosuid": {0, unix.MS_NOSUID}, "suid": {unix.MS_NOSUID, 0},
	"nodev": {0, unix.MS_NODEV}, "dev": {unix.MS_NODEV, 0},
	"noexec": {0, unix.MS_NOEXEC}, "exec": {unix.MS_NOEXEC, 0},
	"nosymfollow": {0, unix.MS_NOSYMFOLLOW}, "symfollow": {unix.MS_NOSYMFOLLOW, 0},
	"noatime": {accessTimes, unix.MS_NOATIME}, "atime": {unix.MS_NOATIME, 0},
	"nodiratime": {0, unix.MS_NODIRATIME}, "diratime": {unix.MS_NODIRATIME, 0},
	"relatime": {accessTimes, unix.MS_RELATIME}, "norelatime": {unix.MS_RELATIME, 0},
	"strictatime": {accessTimes, unix.MS_STRICTATIME}, "nostrictatime": {unix.MS_STRICTATIME, 0},
	"sync": {0, unix.MS_SYNCHRONOUS}, "async": {unix.MS_SYNCHRONOUS, 0},
	"dirsync": {0, unix.MS_DIRSYNC},
}

var (
	errNoDir    = errors.New("it names no directory")
	errDataOnly = errors.New("layers of data only are not supported: " +
		"make it a lower directory like others, whose names show")
)

// setDir sets a directory.
func setDir(dir *string, value string) error {
	*dir = unescape(value)
	if *dir == "" {
		return errNoDir
	}
	return nil
}

// addLowers adds lower directories, which are still escaped. An empty one separates the layers of data only.
func (o *overlayOptions) addLowers(dirs []string) error {
	for i, dir := range dirs {
		if dir == "" && i > 0 && i < len(dirs)-1 {
			return errDataOnly
		}
		var lower string
		if err := setDir(&lower, dir); err != nil {
			return err
		}
		o.lowers = append(o.lowers, lower)
	}
	return nil
}

// setVerity refuses an option that would seem to protect.
func (o *overlayOptions) setVerity(value string) error {
	if value != "off" {
		return errors.New("digests of lower files are not checked: want off")
	}
	return nil
}

func (o *overlayOptions) setOwnership(value string) error {
	o.ownership = unionmount.Ownership(value)
	if o.ownership != unionmount.CallerOwned && o.ownership != unionmount.HostOwned {
		return fmt.Errorf("%q is unknown: want %s or %s", value, unionmount.HostOwned, unionmount.CallerOwned)
	}
	return nil
}

// setTimeout sets how long the kernel may keep names and attributes.
func (o *overlayOptions) setTimeout(value string) error {
	for _, timeout := range []**time.Duration{&o.mount.EntryTimeout, &o.mount.NegativeTimeout, &o.mount.AttrTimeout} {
		if err := parseSeconds(timeout, value); err != nil {
			return err
		}
	}
	return nil
}

// setThreaded sets whether more than one request may be answered at once.
func (o *overlayOptions) setThreaded(value string) error {
	single := false
	err := parseEither(&single, value, "1", "0")
	o.mount.Threads = 0
	if single {
		o.mount.Threads = 1
	}
	return err
}

// set applies one option. allow_root keeps all other users out, also root: the kernel can let in only all or none.
func (o *overlayOptions) set(option string) error {
	name, value, hasValue := strings.Cut(option, "=")
	if set, ok := valueOptions[name]; ok {
		if !hasValue {
			return errors.New("it needs a value")
		}
		return set(o, value)
	}
	if set, ok := switchOptions[name]; ok {
		set(o)
		return nil
	}
	if f, ok := mountFlags[name]; ok {
		o.mount.Mount.Flags = o.mount.Mount.Flags&^f.clear | f.set
		return nil
	}
	if option == "" || isUnused(name) {
		return nil
	}
	return o.unknown(option, name, value)
}

func (o *overlayOptions) setXattrPermissions(value string) error {
	switch value {
	case "0":
		o.statXattr = ""
	case "1":
		o.statXattr = layerfmt.PrivilegedStatXattr
	case "2":
		o.statXattr = layerfmt.StatXattr
	default:
		return fmt.Errorf("want 1 or 2")
	}
	return nil
}

// setRedirect takes the values that the kernel's overlay knows. An empty value changes nothing.
func (o *overlayOptions) setRedirect(value string) error {
	switch value {
	case "on", "off", "follow", "nofollow":
		o.redirect, o.nofollow = value == "on", value == "nofollow"
	case "":
	default:
		return errors.New("want on, off, follow or nofollow")
	}
	return nil
}
