// Package fuseoverlay is the command line of fuse-overlayfs, as far as it describes a union. It is the command line
// of fuse-rcrun, and has the options of "rcrun union mount".
package fuseoverlay

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/internal/escape"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

// Name is the name by which our programs take the arguments of fuse-overlayfs.
const Name = "fuse-rcrun"

// Called tells whether arg0 is that name, also with the prefix that mount(8) uses.
func Called(arg0 string) bool {
	return strings.TrimPrefix(filepath.Base(arg0), "mount.") == Name
}

// overlayHelp is the text of --help, with UNUSED in the place of the options that change nothing.
const overlayHelp = `Usage: fuse-rcrun [-f] [-d] [-o OPTION[,OPTION...]]... [SOURCE] MOUNTPOINT

Mounts several directories as one. It takes the arguments of fuse-overlayfs. Unknown options are ignored with a warning,
unless they resemble one of these: then they are errors.

  -o lowerdir=DIR[:DIR...]   directories to read, the topmost first
  -o lowerdir+=DIR           one more lower directory, below the others
  -o upperdir=DIR            directory that takes all changes; without it the mount is read-only
  -o workdir=DIR             empty directory beside the upper one
  -o uidmapping=DISK:SHOWN:COUNT[:...], gidmapping=...
                             translate owners
  -o squash_to_root, squash_to_uid=UID, squash_to_gid=GID
                             show one owner for all files
  -o xattr_permissions=2     keep owners and modes in xattrs (1: in privileged ones)
  -o ownership=caller        layers are files of one user, as in rcrun's own store
  -o redirect_dir=on         rename directories by a reference to the lower ones
  -o metacopy=on             change attributes of files without copying their data
                             (with redirect_dir or metacopy, only rcrun and the kernel's
                             overlay, mounted by root, can read the upper directory)
  -o size=64m, inodes=10000  limit what the upper directory takes; df shows it
  -o writeback=1             let the kernel collect small writes; then only fsync reports
                             that there was no room for them
  -o fsname=NAME, subtype=TYPE, context=LABEL, max_read=BYTES, default_permissions, debug
                             as in other programs that use libfuse; default_permissions
                             is always on
  -o verity=on, datadir+=DIR, lowerdir=DIR::DIR
                             refused: digests are not checked, and layers of data only
                             are not supported
  -o direct_io               let the kernel keep no data
  -o timeout=SECONDS, entry_timeout=SECONDS, negative_timeout=SECONDS, attr_timeout=SECONDS
                             how long the kernel may keep names and attributes (default forever)
  -o max_threads=N, threaded=0
                             answer at most N requests at once, or one
  -o volatile, fsync=0       make fsync do nothing
  -o noacl                   switch POSIX ACLs off
  -o noxattrs=1              refuse to set xattrs
  -o ino32_t                 show inode numbers of 32 bits
  -o static_nlink            show link count 1 for all directories
  -o noatime, relatime, strictatime, nodiratime
                             when reading a file or directory sets its access time
                             (default noatime, as in fuse-overlayfs); files in lower
                             directories get none. With strictatime every read is a request.
  -o ro, nosuid, nodev, noexec, nosymfollow, sync, dirsync
                             as in mount(8)
  -o remount                 change these flags of an existing mount, as root
  -o allow_other             let other users in
  -o allow_root              let no other user in: root alone cannot be let in

These options are known and change nothing:

UNUSED
Arguments:

  -f                         stay in the foreground
  -s                         answer one request at a time
  -d, --debug                print every request
  -V, --version              print the version
  -h, --help                 print this

With FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT=1 in the environment, deletions are marked by files
.wh.NAME instead of by devices.

A comma or colon in a path is written with a backslash before it. Unmount with umount or fusermount3 -u.
`

func helpText() string { return strings.Replace(overlayHelp, "UNUSED\n", unusedHelp()+"\n", 1) }

// Main is the program with the command line of fuse-overlayfs. It returns the exit code. program is the program of
// the server, as for stage.Start.
func Main(ctx context.Context, arg0 string, args []string, version string, program func() *os.File) int {
	if err := overlay(ctx, filepath.Base(arg0), args, version, program); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(arg0), escape.Error(err))
		return 1
	}
	return 0
}

func overlay(ctx context.Context, name string, args []string, version string, program func() *os.File) error {
	a, err := parseOverlayArgs(args)
	switch {
	case err != nil:
		return err
	case a.help:
		fmt.Print(helpText())
		return nil
	case a.version:
		// The first line is in the form of fuse-overlayfs: callers look for its version to learn what it can do.
		fmt.Printf("fuse-overlayfs: version %s\nrcrun version %s\n", overlayVersion, version)
		return nil
	}
	for _, arg := range a.unknown {
		warnIgnored(arg)
	}
	return mountOverlay(ctx, a, overlayDefaults(name), program)
}

// warnIgnored prints the warning of fuse-overlayfs.
func warnIgnored(argument string) {
	fmt.Fprintln(os.Stderr, "unknown argument ignored:", escape.Message(argument))
}

// overlayVersion is the version of fuse-overlayfs of which all options are known.
const overlayVersion = "1.16"

// Mount describes a union by the options of fuse-overlayfs. Renamed directories and changed attributes refer to lower
// layers unless the options say otherwise.
type Mount struct {
	Options           []string // the values of all -o
	Target            string
	Foreground, Debug bool
}

// Run mounts the union. program is the program of its server, as for stage.Start.
func (m Mount) Run(ctx context.Context, program func() *os.File) error {
	defaults := overlayDefaults("rcrun")
	defaults.redirect, defaults.metacopy, defaults.strict = true, true, true
	a := overlayArgs{options: m.Options, operands: []string{m.Target}, foreground: m.Foreground, debug: m.Debug}
	return mountOverlay(ctx, a, defaults, program)
}

// mountOverlay mounts the union that the arguments describe.
func mountOverlay(ctx context.Context, a overlayArgs, defaults overlayOptions, program func() *os.File) error {
	target, err := a.target()
	if err != nil {
		return err
	}
	defaults.mount.Mount.Source = a.source(defaults.mount.Mount.Source)
	o, err := parseOverlayOptions(a.options, defaults)
	if err != nil {
		return err
	}
	for _, option := range o.ignored {
		warnIgnored(option)
	}
	if a.single {
		o.mount.Threads = 1
	}
	if o.remount {
		return mount.Remount(target, o.mount.Mount.Flags)
	}
	m, err := o.union(target)
	if err != nil {
		return err
	}
	m.Debug = m.Debug || a.debug
	if a.foreground || m.Debug { // as all programs do that use libfuse
		return m.Serve(ctx)
	}
	return m.Start(ctx, program)
}

// overlayDefaults are the defaults of the options, as in fuse-overlayfs.
func overlayDefaults(name string) overlayOptions {
	o := overlayOptions{ownership: unionmount.HostOwned}
	o.mount = mounted.Filesystem{Mount: mount.Options{Source: name, Subtype: name, Flags: unix.MS_NOATIME,
		DefaultPermissions: true, AllowOther: mayAllowOther("/etc/fuse.conf"),
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}}
	o.mount.Union.WhiteoutFiles = os.Getenv("FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT") == "1"
	if os.Geteuid() != 0 {
		o.mount.Mount.Flags |= unix.MS_NOSUID | unix.MS_NODEV
	}
	return o
}

// mayAllowOther tells whether the user may let other users into a mount. Root may, also root of a user namespace.
// Other users may if the configuration of fusermount says so.
func mayAllowOther(config string) bool {
	if os.Geteuid() == 0 {
		return true
	}
	file, err := os.Open(config)
	if err != nil {
		return false
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "user_allow_other" {
			return true
		}
	}
	return false
}
