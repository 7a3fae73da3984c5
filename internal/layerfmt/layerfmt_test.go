package layerfmt

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestEncodeDecode(t *testing.T) {
	for _, c := range []struct {
		stat    Stat
		text    string
		backing uint32
		xattr   bool
	}{
		{Stat{Mode: unix.S_IFREG | 0o644}, "0:0:0644:file", unix.S_IFREG, false},
		{Stat{Mode: unix.S_IFREG | 0o444}, "0:0:0444:file", unix.S_IFREG, true},
		{Stat{Mode: unix.S_IFREG | 0o4755}, "0:0:4755:file", unix.S_IFREG, true},
		{Stat{UID: 33, GID: 34, Mode: unix.S_IFDIR | 0o755}, "33:34:0755:dir", unix.S_IFDIR, true},
		{Stat{Mode: unix.S_IFDIR | 0o755}, "0:0:0755:dir", unix.S_IFDIR, false},
		{Stat{Mode: unix.S_IFDIR | 0o1777}, "0:0:1777:dir", unix.S_IFDIR, true},
		{Stat{Mode: unix.S_IFLNK | 0o777}, "0:0:0777:symlink", unix.S_IFLNK, false},
		{Stat{UID: 1, Mode: unix.S_IFLNK | 0o777}, "1:0:0777:symlink", unix.S_IFREG, true},
		{Stat{Mode: unix.S_IFCHR | 0o666, Rdev: unix.Mkdev(1, 3)}, "0:0:0666:char-1-3", unix.S_IFREG, true},
		{Stat{Mode: unix.S_IFBLK | 0o660, Rdev: unix.Mkdev(8, 300)}, "0:0:0660:block-8-300", unix.S_IFREG, true},
		{Stat{Mode: unix.S_IFIFO | 0o600}, "0:0:0600:pipe", unix.S_IFREG, true},
		{Stat{Mode: unix.S_IFSOCK | 0o600}, "0:0:0600:socket", unix.S_IFREG, true},
	} {
		if got := c.stat.Encode(); got != c.text {
			t.Errorf("Encode(%+v) = %q, want %q", c.stat, got, c.text)
		}
		if got := c.stat.BackingType(); got != c.backing {
			t.Errorf("BackingType(%+v) = %#o, want %#o", c.stat, got, c.backing)
		}
		if got := c.stat.NeedsXattr(); got != c.xattr {
			t.Errorf("NeedsXattr(%+v) = %v, want %v", c.stat, got, c.xattr)
		}
		got, err := Decode(c.text, c.backing)
		if err != nil || got != c.stat {
			t.Errorf("Decode(%q) = %+v, %v; want %+v", c.text, got, err, c.stat)
		}
	}
}

func TestDecodeForeign(t *testing.T) {
	got, err := Decode("1000:100:0755", unix.S_IFDIR|0o700)
	if want := (Stat{UID: 1000, GID: 100, Mode: unix.S_IFDIR | 0o755}); err != nil || got != want {
		t.Errorf("without a type: got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1:2", "1:2:3:4:5", "-1:0:0", "0:0:99", "0:0:10000", "0:0:0:dir", "0:0:0:char-1",
		"0:0:0:char-1-x", "0:0:0:door", "4294967296:0:0"} {
		if s, err := Decode(bad, unix.S_IFREG|0o600); err == nil {
			t.Errorf("Decode(%q) = %+v, want an error", bad, s)
		}
	}
}

func TestEscapeXattr(t *testing.T) {
	for name, disk := range map[string]string{
		"user.comment":                  "user.comment",
		"security.capability":           EscapePrefix + "security.capability",
		"trusted.overlay.opaque":        EscapePrefix + "trusted.overlay.opaque",
		"user.containers.override_stat": EscapePrefix + "user.containers.override_stat",
		"user.overlay.opaque":           EscapePrefix + "user.overlay.opaque",
		"user.rcrun.x.user.a":           EscapePrefix + "user.rcrun.x.user.a",
	} {
		if got := EscapeXattr(name); got != disk {
			t.Errorf("EscapeXattr(%q) = %q, want %q", name, got, disk)
		}
		if got, ok := UnescapeXattr(disk); !ok || got != name {
			t.Errorf("UnescapeXattr(%q) = %q, %v; want %q", disk, got, ok, name)
		}
	}
	for _, hidden := range []string{StatXattr, OpaqueXattr, "security.selinux", "user.rcrun.origin", EscapePrefix,
		EscapePrefix + "user.a"} {
		if name, ok := UnescapeXattr(hidden); ok {
			t.Errorf("UnescapeXattr(%q) = %q, want it hidden", hidden, name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("0:0:0644:file")
	f.Add("33:34:0755:char-1-3")
	f.Fuzz(func(t *testing.T, value string) {
		s, err := Decode(value, unix.S_IFREG|0o600)
		if err != nil {
			return
		}
		if again, err := Decode(s.Encode(), unix.S_IFREG|0o600); err != nil || again != s {
			t.Fatalf("%q decodes to %+v, which encodes to %q and decodes to %+v, %v", value, s, s.Encode(), again, err)
		}
	})
}
