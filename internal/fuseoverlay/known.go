package fuseoverlay

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/internal/spelling"
)

// unused are options of other programs that change nothing here, with the reason, as --help prints them.
var unused = []struct{ names, why string }{
	{"xino index fast_ino nfs_filehandles uuid",
		"inode numbers are unique and stay the same, and hard links hold, always"},
	{"nfs_export", "files can be opened by handles for as long as the kernel knows them, always"},
	{"userxattr override_creds nooverride_creds",
		"the server works as the mounting user, and xattrs are those that this user may set"},
	{"max_write max_background congestion_threshold max_readahead big_writes large_read async_read sync_read " +
		"clone_fd max_idle_threads",
		"requests are as large, and as many at a time, as the kernel lets them be"},
	{"splice_read splice_write splice_move no_splice_read no_splice_write no_splice_move",
		"large reads go through a pipe, other data does not"},
	{"kernel_cache auto_cache noauto_cache ac_attr_timeout remember noforget",
		"the kernel keeps the data that it has read; see direct_io and timeout"},
	{"auto_unmount", "a server that ends unmounts; one that was killed cannot"},
	{"plugins", "there are no plugins"},
	{"umask uid gid", "owners and modes are real; see squash_to_uid and uidmapping"},
	{"use_ino readdir_ino hard_remove nopath intr intr_signal modules atomic_o_trunc nonempty no_remote_lock " +
		"no_remote_flock no_remote_posix_lock blkdev blksize rootmode user_id group_id fd",
		"they are for other uses of libfuse"},
	{"lazytime nolazytime iversion noiversion mand nomand silent loud", "they are for filesystems on a disk"},
	{"fscontext defcontext rootcontext seclabel", "all files have the label of context, if one is given"},
	{"defaults auto noauto user nouser users group nogroup owner noowner nofail _netdev comment x-* X-*",
		"they are for mount(8) itself"},
}

// isUnused tells whether an option is known to change nothing.
func isUnused(name string) bool {
	for _, u := range unused {
		for known := range strings.FieldsSeq(u.names) {
			if prefix, open := strings.CutSuffix(known, "*"); known == name || open && strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}

// unusedHelp returns their part of --help.
func unusedHelp() string {
	const width, indent = 90, "       "
	var text strings.Builder
	for _, u := range unused {
		line := "  -o "
		for word := range strings.FieldsSeq(strings.ReplaceAll(u.names, " ", ", ") + ": " + u.why) {
			if len(line)+len(word) > width {
				fmt.Fprintln(&text, strings.TrimRight(line, " "))
				line = indent
			}
			line += word + " "
		}
		fmt.Fprintln(&text, strings.TrimRight(line, " "))
	}
	return text.String()
}

// unknown handles an unknown option. It is an error if it resembles a known one, because a user who misspells an
// option does not want a mount without an upper, or with other owners. It is also an error if its value is a
// directory. Other unknown options are ignored with a warning, as fuse-overlayfs does, unless the options are strict.
func (o *overlayOptions) unknown(option, name, value string) error {
	close := closest(name)
	switch info, err := os.Stat(unescape(value)); {
	case close != "":
		return fmt.Errorf("unknown: did you mean %s?", close)
	case err == nil && info.IsDir():
		return errors.New("unknown, but it names a directory: see fuse-rcrun --help")
	case o.strict:
		return errors.New("unknown; fuse-rcrun --help lists the known ones")
	}
	o.ignored = append(o.ignored, option)
	return nil
}

// closest returns the option with an effect that a name resembles most; "" if it resembles none.
func closest(name string) string {
	var names []string
	for known := range valueOptions {
		names = append(names, known)
	}
	for known := range switchOptions {
		names = append(names, known)
	}
	for known := range mountFlags {
		names = append(names, known)
	}
	slices.Sort(names)
	const least, most = 4, 2 // least letters of the beginning of an option, most wrong letters
	best, wrong := "", min(most, len(name)/3)+1
	for _, known := range names {
		if d := spelling.Distance(strings.ToLower(name), known); d < wrong {
			best, wrong = known, d
		}
	}
	if best == "" && len(name) >= least {
		if i := slices.IndexFunc(names, func(known string) bool { return strings.HasPrefix(known, name) }); i >= 0 {
			best = names[i]
		}
	}
	return best
}
