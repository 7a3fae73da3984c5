package fusefs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const nodump = 0x40 // FS_NODUMP_FL

func TestFlags(t *testing.T) {
	m := withLower(t, map[string]string{"lower": "x", "d/y": "y"})
	if f, err := os.Open(m.dir); !inside() {
		must(t, err)
		defer f.Close()
		if _, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS); err != nil {
			t.Skipf("the filesystem keeps no flags: %v", err)
		}
	}
	m.run(t, func(t *testing.T, mnt string) {
		for _, name := range []string{"lower", "d"} {
			f, err := os.Open(mnt + "/" + name)
			must(t, err)
			defer f.Close()
			flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
			must(t, err)
			must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags|nodump)))
			again, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
			if err != nil || again != flags|nodump {
				t.Errorf("%s: flags %#x, %v; want %#x", name, again, err, flags|nodump)
			}
			if _, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GET_ENCRYPTION_KEY_STATUS); err != unix.ENOTTY {
				t.Errorf("%s: an unknown ioctl: %v", name, err)
			}
		}
		wantFile(t, mnt+"/lower", "x")
	})
}
