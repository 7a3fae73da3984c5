package fuseoverlay

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

func TestParseOverlayArgs(t *testing.T) {
	for line, want := range map[string]overlayArgs{
		"m":                    {operands: []string{"m"}},
		"src m -o rw,dev,suid": {operands: []string{"src", "m"}, options: []string{"rw,dev,suid"}},
		"-o a -ob=c -f -d m": {operands: []string{"m"}, options: []string{"a", "b=c"},
			foreground: true, debug: true},
		"--debug -s --foo m": {operands: []string{"m"}, debug: true, single: true,
			unknown: []string{"--foo"}},
		"s m -n -v -t fuse -N /proc/1/ns/mnt": {operands: []string{"s", "m"}},
		"-V":                                  {version: true},
		"--version":                           {version: true},
		"-h":                                  {help: true},
		"--help":                              {help: true},
		"-f -- -odd":                          {operands: []string{"-odd"}, foreground: true},
	} {
		got, err := parseOverlayArgs(strings.Fields(line))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", line, got, err, want)
		}
	}
	if _, err := parseOverlayArgs([]string{"m", "-o"}); err == nil {
		t.Error("-o without a value is accepted")
	}
	for _, operands := range [][]string{nil, {"a", "b", "c"}} {
		if _, err := (overlayArgs{operands: operands}).target(); err == nil {
			t.Errorf("operands %q are accepted", operands)
		}
	}
}

// parsedUnion parses options for a mount at a directory of the test's.
func parsedUnion(t *testing.T, options ...string) overlayOptions {
	t.Helper()
	o, err := parseOverlayOptions(options, overlayDefaults("fuse-rcrun"))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOverlayLayers(t *testing.T) {
	for option, want := range map[string][]string{
		"lowerdir=/a":              {"/a"},
		"lowerdir=/a:/b:/c":        {"/a", "/b", "/c"},
		`lowerdir=/a\:b:/c\,d`:     {"/a:b", "/c,d"},
		`lowerdir=/back\\slash`:    {`/back\slash`},
		`lowerdir=/a\\:/b`:         {`/a\`, "/b"},
		"lowerdir=/old,lowerdir=/": {"/"},
	} {
		m, err := parsedUnion(t, option).union(t.TempDir())
		if err != nil {
			t.Errorf("%s: %v", option, err)
			continue
		}
		var got []string
		for _, l := range m.Union.Lowers {
			got = append(got, l.Dir)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", option, got, want)
		}
		if m.Mount.Flags&unix.MS_RDONLY == 0 {
			t.Errorf("%s: writable without an upper", option)
		}
	}
	if _, err := parsedUnion(t, "rw").union(t.TempDir()); err == nil {
		t.Error("no layers are accepted")
	}
}

func TestOverlayOptions(t *testing.T) {
	m, err := parsedUnion(t, `lowerdir=l,upperdir=u\:p,workdir=w,static_nlink,fsync=0,max_read=4096,nosuid,noexec,atime,dev`,
		"squash_to_root,squash_to_gid=8,fsname=name\\,d,xattr_permissions=2,context=\"a:b\"",
		"uidmapping=0:10:100:100:10000:2000,gidmapping=5:6:1",
		"noacl,xino=auto,ino32_t,redirect_dir=off,metacopy=on,index=off,timeout=1.5,attr_timeout=1e18,"+
			"writeback=1,threaded=0,direct_io,allow_root,max_write=1,unheard_of=1").union(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	here, _ := os.Getwd()
	s := m.Union
	if s.Upper != filepath.Join(here, "u:p") || s.Work != filepath.Join(here, "w") || !s.StaticNlink || !s.Volatile {
		t.Errorf("%+v", s)
	}
	if s.UpperAs.StatXattr != layerfmt.StatXattr || s.Lowers[0].StatXattr != "" {
		t.Errorf("owners are kept in %q and %q", s.UpperAs.StatXattr, s.Lowers[0].StatXattr)
	}
	uids := idmap.Map{{Host: 0, Container: 10, Size: 100}, {Host: 100, Container: 10000, Size: 2000}}
	gids := idmap.Map{{Host: 5, Container: 6, Size: 1}}
	if !slices.Equal(s.UpperAs.UIDs, uids) || !slices.Equal(s.Lowers[0].GIDs, gids) {
		t.Errorf("maps %v, %v", s.UpperAs.UIDs, s.Lowers[0].GIDs)
	}
	if !m.DirectIO || m.Threads != 1 || *m.EntryTimeout != 1500*time.Millisecond ||
		*m.NegativeTimeout != 1500*time.Millisecond || m.AttrTimeout != nil {
		t.Errorf("tuning is %+v", m.Tuning)
	}
	if !m.Writeback || !m.NoACL || !s.Ino32 {
		t.Errorf("%+v", m)
	}
	if m.SquashUID == nil || *m.SquashUID != 0 || m.SquashGID == nil || *m.SquashGID != 8 {
		t.Errorf("squash to %v:%v", m.SquashUID, m.SquashGID)
	}
	if flags := m.Mount.Flags; flags != unix.MS_NOSUID|unix.MS_NOEXEC {
		t.Errorf("flags %#x", flags)
	}
	if m.Mount.Source != "name,d" || m.Mount.Context != "a:b" || m.Mount.MaxRead != 4096 ||
		!m.Mount.DefaultPermissions {
		t.Errorf("%+v", m.Mount)
	}
}

// TestOverlayReferences looks at when an upper refers to the layers below it: for the drop-in only when it is told to.
func TestOverlayReferences(t *testing.T) {
	for options, want := range map[string]unionmount.Layer{
		"rw":                            {Follow: true},
		"redirect_dir=on":               {Follow: true, Redirect: true},
		"redirect_dir=on,metacopy=on":   {Follow: true, Redirect: true, Metacopy: true},
		"redirect_dir=on,redirect_dir=": {Follow: true, Redirect: true},
		"redirect_dir=off,metacopy=off": {Follow: true},
		"redirect_dir=follow":           {Follow: true},
		"redirect_dir=nofollow":         {},
		"metacopy=on,ownership=caller":  {},
	} {
		m, err := parsedUnion(t, "lowerdir=l,upperdir=u,workdir=w", options).union(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		up, low := m.Union.UpperAs, m.Union.Lowers[0]
		if up.Redirect != want.Redirect || up.Metacopy != want.Metacopy || up.Follow != want.Follow ||
			low.Follow != want.Follow {
			t.Errorf("%s: upper %+v, lower %+v", options, up, low)
		}
	}
}

func TestWhiteoutFilesByEnvironment(t *testing.T) {
	for value, want := range map[string]bool{"": false, "0": false, "1": true} {
		t.Setenv("FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT", value)
		m, err := parsedUnion(t, "lowerdir=l,upperdir=u,workdir=w").union(t.TempDir())
		if err != nil || m.Union.WhiteoutFiles != want {
			t.Errorf("%q: %v, %v", value, m.Union.WhiteoutFiles, err)
		}
	}
}

func TestAllowRootKeepsOthersOut(t *testing.T) {
	for options, want := range map[string]bool{"allow_other": true, "allow_root": false,
		"allow_other,allow_root": false} {
		m, err := parsedUnion(t, "lowerdir=l", options).union(t.TempDir())
		if err != nil || m.Mount.AllowOther != want {
			t.Errorf("%s: %v, %v", options, m.Mount.AllowOther, err)
		}
	}
}

func TestBadOverlayOptions(t *testing.T) {
	for _, option := range []string{"uidmapping=1", "uidmapping=1:2", "gidmapping=0:0:x",
		"uidmapping=0:0:4294967296", "squash_to_uid=-1",
		"squash_to_gid=", "xattr_permissions=3", "max_read=much"} {
		if _, err := parseOverlayOptions([]string{option}, overlayDefaults("x")); err == nil ||
			!strings.Contains(err.Error(), option) {
			t.Errorf("%s: %v", option, err)
		}
	}
}

func TestCalledAsOverlay(t *testing.T) {
	for arg0, want := range map[string]bool{"fuse-rcrun": true, "/usr/bin/fuse-rcrun": true,
		"/sbin/mount.fuse-rcrun": true, "rcrun": false, "rcrun-fuse": false} {
		if Called(arg0) != want {
			t.Errorf("%s: %v", arg0, !want)
		}
	}
}

func TestMayAllowOther(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may always")
	}
	config := filepath.Join(t.TempDir(), "fuse.conf")
	for content, want := range map[string]bool{"": false, "# user_allow_other\n": false,
		"mount_max = 3\nuser_allow_other\n": true} {
		if err := os.WriteFile(config, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if mayAllowOther(config) != want {
			t.Errorf("with %q: %v", content, !want)
		}
	}
	if mayAllowOther(config + ".none") {
		t.Error("without a configuration others are allowed")
	}
}

// FuzzOverlayOptions escapes any paths, and looks for them in the parsed options.
func FuzzOverlayOptions(f *testing.F) {
	f.Add("/a", "/b:c", `/d\,e`)
	f.Add(`\`, ",", ":")
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`)
	f.Fuzz(func(t *testing.T, a, b, upper string) {
		text := "x,lowerdir=" + escape.Replace(a) + ":" + escape.Replace(b) + ",upperdir=" + escape.Replace(upper)
		o, err := parseOverlayOptions([]string{text}, overlayOptions{})
		if a == "" || b == "" || upper == "" {
			if err == nil {
				t.Errorf("%q, %q, %q: a directory without a name is accepted", a, b, upper)
			}
		} else if err != nil || !slices.Equal(o.lowers, []string{a, b}) || o.mount.Union.Upper != upper {
			t.Errorf("%q, %q, %q: %+v, %v", a, b, upper, o, err)
		}
		// Whatever is not escaped must do no harm.
		if o, err := parseOverlayOptions([]string{a, b, "lowerdir=" + upper, "uidmapping=" + a},
			overlayOptions{}); err == nil && len(o.uids) == 0 {
			t.Errorf("the map %q is empty", a)
		}
	})
}
