package fuseoverlay

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// optionsOfOthers are the options of fuse-overlayfs 1.16 and 2.0, libfuse, the kernel's overlay filesystem and
// mount(8).
const optionsOfOthers = `
	lowerdir=/l upperdir=/u workdir=/w uidmapping=0:0:1 gidmapping=0:0:1 timeout=1 threaded=1 fsync=1 fast_ino=1 writeback=0 noxattrs=1
	plugins=p xattr_permissions=2 squash_to_root squash_to_uid=1 squash_to_gid=1 static_nlink volatile ino32_t noacl nfs_filehandles=1
	redirect_dir=off context=x
	allow_other allow_root auto_unmount clone_fd max_idle_threads=3 max_threads=3 max_read=4096 max_write=4096 default_permissions debug
	fsname=n subtype=t kernel_cache auto_cache noauto_cache direct_io entry_timeout=1 negative_timeout=1 attr_timeout=1 ac_attr_timeout=1
	noforget remember=1 umask=022 uid=1 gid=1 use_ino readdir_ino hard_remove intr intr_signal=1 modules=m nopath big_writes large_read
	async_read sync_read atomic_o_trunc max_readahead=1 max_background=1 congestion_threshold=1 splice_read splice_write splice_move
	no_splice_read no_splice_write no_splice_move no_remote_lock no_remote_flock no_remote_posix_lock nonempty blkdev blksize=512
	fd=3 rootmode=40000 user_id=0 group_id=0
	lowerdir+=/m metacopy=on index=on nfs_export=on xino=auto uuid=null userxattr verity=off override_creds nooverride_creds
	ro rw suid nosuid dev nodev exec noexec sync async dirsync atime noatime diratime nodiratime relatime norelatime strictatime
	nostrictatime lazytime nolazytime iversion noiversion mand nomand silent loud nosymfollow symfollow remount
	defaults auto noauto user nouser users group nogroup owner noowner nofail _netdev comment=c x-systemd.automount X-mount.mkdir
	fscontext=x defcontext=x rootcontext=x seclabel`

// TestOptionsOfOthers wants each to be taken where nothing unknown is, and to be in the help: with its effect, or among
// those that have none. Those of mount(8) that take back a flag are there by the flag.
func TestOptionsOfOthers(t *testing.T) {
	defaults := overlayDefaults("rcrun")
	defaults.strict = true
	help := strings.FieldsFunc(helpText(), func(r rune) bool { return strings.ContainsRune(" ,:=\n[]()", r) })
	for option := range strings.FieldsSeq(optionsOfOthers) {
		if _, err := parseOverlayOptions([]string{option}, defaults); err != nil {
			t.Error(err)
		}
		name, _, _ := strings.Cut(option, "=")
		_, isFlag := mountFlags[name]
		if !isFlag && !slices.Contains(help, name) && !strings.Contains(name, "-") {
			t.Errorf("%s is not in the help", name)
		}
	}
	for name, f := range mountFlags {
		if f.set != 0 && !slices.Contains(help, name) {
			t.Errorf("%s is not in the help", name)
		}
	}
}

// TestUnknownOptions uses unknown options. An option that resembles a known one must be refused in any case.
func TestUnknownOptions(t *testing.T) {
	for option, want := range map[string]string{
		"upprdir=up": "upperdir", "upperdirs=up": "upperdir", "upper=up": "upperdir", "UpperDir=up": "upperdir",
		"lowrdir=l": "lowerdir",
		"wordkir=w": "workdir", "work=w": "workdir", "redirect-dir=on": "redirect_dir",
		"squash_to_rot": "squash_to_root", "nosiud": "nosuid",
		"noexce": "noexec", "sizes=1g": "size", "relatim": "relatime", "uid_mapping=0:0:1": "uidmapping",
		"unheard_of=1": "", "foo": "", "x": "", "userns": "",
	} {
		for _, strict := range []bool{true, false} {
			defaults := overlayDefaults("rcrun")
			defaults.strict = strict
			o, err := parseOverlayOptions([]string{"ro," + option}, defaults)
			switch {
			case want == "" && !strict:
				if err != nil || !slices.Equal(o.ignored, []string{option}) {
					t.Errorf("%s: %v, and ignored are %q", option, err, o.ignored)
				}
			case err == nil || !strings.Contains(err.Error(), option) || !strings.Contains(err.Error(), want):
				t.Errorf("%s: %v, want %s", option, err, want)
			}
		}
	}
}

// TestValuesOfOptions has values that mean nothing.
func TestValuesOfOptions(t *testing.T) {
	for _, option := range []string{"upperdir", "upperdir=", "workdir=", "lowerdir=", "lowerdir=/a:",
		"lowerdir=/a::/b", "lowerdir+=", "datadir+=/a", "verity=on",
		"verity=require", "metacopy=yes", "writeback=on", "fsync=no", "threaded=x", "noxattrs=yes",
		"redirect_dir=maybe", "ownership=nobody",
		"max_threads=0", "max_read=-1", "size"} {
		if _, err := parseOverlayOptions([]string{option}, overlayDefaults("x")); err == nil ||
			!strings.Contains(err.Error(), option) {
			t.Errorf("%s: %v", option, err)
		}
	}
	if _, err := parsedUnion(t, "lowerdir=/l,workdir=/w").union(t.TempDir()); err == nil {
		t.Error("a work directory without an upper is accepted")
	}
}

// TestLabelsHaveCommas takes the label that podman gives, with the options around it.
func TestLabelsHaveCommas(t *testing.T) {
	defaults := overlayDefaults("x")
	defaults.strict = true
	const label = "system_u:object_r:container_file_t:s0:c14,c583"
	for options, want := range map[string]string{`ro,context="` + label + `",nodev`: label,
		`context="` + label + `"`: label, "context=a,nodev": "a", `context="a",nodev`: "a"} {
		o, err := parseOverlayOptions([]string{options}, defaults)
		if err != nil || o.mount.Mount.Context != want {
			t.Errorf("%s: %q, %v", options, o.mount.Mount.Context, err)
		}
	}
}

// TestFlagsOfAccessTimes wants the last of those that exclude one another to hold.
func TestFlagsOfAccessTimes(t *testing.T) {
	for options, want := range map[string]uintptr{
		"rw": unix.MS_NOATIME, "relatime": unix.MS_RELATIME, "relatime,strictatime": unix.MS_STRICTATIME,
		"strictatime,noatime": unix.MS_NOATIME,
		"atime":               0, "nodiratime,relatime": unix.MS_RELATIME | unix.MS_NODIRATIME,
		"relatime,norelatime":  0,
		"atime,relatime,atime": unix.MS_RELATIME,
	} {
		if got := parsedUnion(t, options).mount.Mount.Flags & (accessTimes | unix.MS_NODIRATIME); got != want {
			t.Errorf("%s: %#x, want %#x", options, got, want)
		}
	}
}
