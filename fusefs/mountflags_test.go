package fusefs

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount"
)

// TestFindMount looks for mounts in the text of mountinfo: the last at a place, unless its device is known.
func TestFindMount(t *testing.T) {
	const text = `27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
31 27 0:50 / /a\040b\134 rw,noatime - fuse.fuse-rcrun one rw
32 27 0:51 / /a\040b\134 ro,relatime - tmpfs two rw
short line
`
	for _, c := range []struct{ target, device, on, flags string }{
		{"/", "", "8:1", "rw,relatime"}, {`/a b\`, "", "0:51", "ro,relatime"},
		{`/a b\`, "0:50", "0:50", "rw,noatime"}, {"/a", "", "", ""}, {"/", "0:50", "", ""},
	} {
		on, flags, ok := findMount(text, c.target, c.device)
		if on != c.on || flags != c.flags || ok != (c.on != "") {
			t.Errorf("%s: %q %q %v", c.target, on, flags, ok)
		}
	}
}

func TestAccessTimesOfFlags(t *testing.T) {
	for text, want := range map[string]unionmount.AccessTimes{
		"rw,relatime": 0, "rw,noatime": unionmount.NoAtime, "rw": unionmount.StrictAtime,
		"rw,nodiratime,relatime": unionmount.NoDirAtime,
		"rw,nodiratime":          unionmount.NoDirAtime | unionmount.StrictAtime,
	} {
		if got := accessTimesOf(text); got != want {
			t.Errorf("%s: %b, want %b", text, got, want)
		}
	}
	for flags, want := range map[uintptr]unionmount.AccessTimes{
		0: 0, unix.MS_RELATIME: 0, unix.MS_NOATIME: unionmount.NoAtime,
		unix.MS_STRICTATIME | unix.MS_NODIRATIME: unionmount.StrictAtime | unionmount.NoDirAtime,
	} {
		if got := AccessTimesOf(flags); got != want {
			t.Errorf("%#x: %b, want %b", flags, got, want)
		}
	}
}
