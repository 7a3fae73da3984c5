package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestBinds(t *testing.T) {
	host := t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "file"), []byte("content"), 0o644))
	out, stderr, _ := finish(t, `
		cat /data/file /new/deep/place/file /etc/one
		echo written > /data/written
		touch /ro/x
		grep -E ' (/data|/ro|/etc/one) ' /proc/self/mountinfo | grep -c -e shared -e master`, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts,
			bindMount(host, "/data"), bindMount(host, "/new/deep/place"), bindMount(host, "/ro", "ro"),
			bindMount(filepath.Join(host, "file"), "/etc/one"))
	})
	if !strings.HasPrefix(out, "contentcontentcontent") || !strings.Contains(stderr, "/ro/x: Read-only file system") {
		t.Errorf("binds: %q, %q", out, stderr)
	}
	if !strings.HasSuffix(out, "0\n") {
		t.Errorf("binds take part in propagation: %s", out)
	}
	text, err := os.ReadFile(filepath.Join(host, "written"))
	if err != nil || string(text) != "written\n" {
		t.Errorf("on the host: %q, %v", text, err)
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(host, "written"), &st))
	if int(st.Uid) != os.Getuid() {
		t.Errorf("what root of the container makes belongs to %d on the host", st.Uid)
	}
}

// A read-only bind is read-only with all that is mounted below it.
func TestRecursiveReadOnly(t *testing.T) {
	_, stderr, code := finish(t, `touch /host/shm/x`, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount("/dev", "/host", "ro"))
	})
	if code == 0 || !strings.Contains(stderr, "Read-only file system") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// The caller's access to files decides what can be bound, not the container's capabilities.
func TestBindOfUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	_, err := Create(t.Context(), newConfig(t, []string{"true"}, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount("/root/x", "/x"))
	}))
	if err == nil || !strings.Contains(err.Error(), "open bind source /root/x: permission denied") {
		t.Errorf("create: %v", err)
	}
}

// Symbolic links of the image lead to places in the image, never to the host's.
func TestMountPointsStayInside(t *testing.T) {
	host, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "file"), []byte("x"), 0o644))
	out, stderr, _ := finish(t, `ls /real /made /a/x /etc/made-file; cat /up/file`, func(c *Config) {
		root := c.RootConfig.(bindRoot).Path
		must(t, os.Mkdir(filepath.Join(root, "real"), 0o755))
		must(t, os.Mkdir(filepath.Join(root, "a"), 0o755))
		for link, target := range map[string]string{
			"absolute": "/real", "dangling": "/made", "relative": "a/../a/x", "escape": "../../../../../.." + outside,
			"host": outside, "file": "etc/made-file", "up": "../../../real",
		} {
			must(t, os.Symlink(target, filepath.Join(root, link)))
		}
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount(host, "/absolute"), bindMount(host, "/dangling"),
			bindMount(host, "/relative"), bindMount(host, "/escape"), bindMount(host, "/host"),
			bindMount(filepath.Join(host, "file"), "/file"))
	})
	expect(t, "mount points "+stderr, out, "/etc/made-file /a/x: file /made: file /real: file x")
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) > 0 {
		t.Errorf("something was made outside: %v, %v", entries, err)
	}
}

func TestMountPointLoop(t *testing.T) {
	_, err := Create(t.Context(), newConfig(t, []string{"true"}, func(c *Config) {
		must(t, os.Symlink("loop", filepath.Join(c.RootConfig.(bindRoot).Path, "loop")))
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount("/tmp", "/loop"))
	}))
	if err == nil || !strings.Contains(err.Error(), "symbolic links") {
		t.Errorf("create: %v", err)
	}
}

func TestTmpfsOptions(t *testing.T) {
	const script = `stat -c '%a %u' /t; grep ' /t ' /proc/mounts
		dd if=/dev/zero of=/t/x bs=1M count=4 2>&1 | grep -c 'No space'`
	out, stderr, _ := finish(t, script, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/t",
			Options: []string{"nosuid", "noexec", "size=1m", "mode=0751", "uid=3"}})
	})
	if !strings.HasPrefix(out, "751 3\n") || !strings.Contains(out, "noexec") || !strings.HasSuffix(out, "1\n") {
		t.Errorf("tmpfs: %s%s", out, stderr)
	}
	_, err := Create(t.Context(), newConfig(t, []string{"true"}, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts,
			specs.Mount{Type: "tmpfs", Destination: "/t", Options: []string{"nosuchoption=1"}})
	}))
	if err == nil || !strings.Contains(err.Error(), "nosuchoption") {
		t.Errorf("a bad option: %v", err)
	}
}

func TestDev(t *testing.T) {
	out, stderr, _ := finish(t, `
		for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done
		readlink /dev/fd; readlink /dev/stdin; readlink /dev/ptmx
		echo x > /dev/null; dd if=/dev/zero bs=3 count=1 2>/dev/null | grep -c .
		test -c /dev/fuse && echo extra
		stat -c %a /dev/shm /dev/mqueue`, func(c *Config) {
		var st unix.Stat_t
		must(t, unix.Stat("/dev/fuse", &st))
		c.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c",
			Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev))}}
	})
	expect(t, "devices "+stderr, out, "/proc/self/fd /proc/self/fd/0 pts/ptmx 1 extra 1777 1777")
}

func TestSysctl(t *testing.T) {
	const script = `cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax`
	out, stderr, _ := finish(t, script, func(c *Config) {
		c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "80", "kernel/msgmax": "4096"}
	})
	expect(t, "sysctls "+stderr, out, "80 4096")
}

// TestSysctlIsTheKernels has files of the image in place of the kernel's, which must not be written to.
func TestSysctlIsTheKernels(t *testing.T) {
	out, stderr, _ := finish(t, `cat /proc/sys/kernel/msgmax /work/sys/kernel/msgmax`, func(c *Config) {
		dir := filepath.Join(c.RootConfig.(bindRoot).Path, "proc/sys/kernel")
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "msgmax"), []byte("of the image\n"), 0o666))
		for i, mount := range c.Spec.Mounts {
			if mount.Type == "proc" {
				c.Spec.Mounts[i].Destination = "/work"
			}
		}
		c.Spec.Linux.Sysctl = map[string]string{"kernel.msgmax": "4096"}
	})
	expect(t, "sysctl "+stderr, out, "of the image 4096")
}

func TestOOMScore(t *testing.T) {
	score := 500
	for _, mapIDs := range []func(context.Context, int) error{mapOne, mapNone(t)} {
		out, _, _ := finish(t, `cat /proc/self/oom_score_adj`, func(c *Config) {
			c.MapIDs = mapIDs
			c.Spec.Process.OOMScoreAdj = &score
		})
		expect(t, "oom_score_adj", out, "500")
	}
}

// The caller's umask does not affect the mount points in an image.
func TestMountPointModes(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	out, _, _ := finish(t, `stat -c %a /new /new/deep /dev/pts/. /dev/null`, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount("/usr", "/new/deep"))
	})
	expect(t, "modes", out, "755 755 755 666")
}

// A later mount of the host shows in a bind that asks for it, and in no other.
func TestPropagation(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount on the host")
	}
	shared := t.TempDir()
	must(t, os.Mkdir(filepath.Join(shared, "later"), 0o755))
	must(t, unix.Mount(shared, shared, "", unix.MS_BIND, ""))
	defer unix.Unmount(shared, unix.MNT_DETACH)
	must(t, unix.Mount("", shared, "", unix.MS_SHARED, ""))
	b := run(t, []string{"sleep", "1000"}, func(c *Config) {
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount(shared, "/slave", "rslave"), bindMount(shared, "/private"))
	})
	must(t, unix.Mount("tmpfs", filepath.Join(shared, "later"), "tmpfs", 0, ""))
	must(t, os.WriteFile(filepath.Join(shared, "later", "file"), nil, 0o644))
	out, _ := inside(t, b, DefaultSpec("sh", "-c", "ls /slave/later /private/later").Process)
	expect(t, "propagation", out, "/private/later: /slave/later: file")
	must(t, unix.Unmount(filepath.Join(shared, "later"), 0))
}

func TestParseMountOptions(t *testing.T) {
	for _, test := range []struct {
		mount specs.Mount
		want  mountOptions
	}{
		{specs.Mount{Type: "bind", Options: []string{"ro", "rw"}},
			mountOptions{bind: true, clear: unix.MOUNT_ATTR_RDONLY}},
		{specs.Mount{Options: []string{"rbind", "rro", "rnosuid"}},
			mountOptions{bind: true, recursive: true, set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}},
		{specs.Mount{Type: "tmpfs", Options: []string{"size=1m", "noatime", "strictatime", "rslave"}},
			mountOptions{set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME,
				data: []string{"size=1m"}, propagation: unix.MS_SLAVE | unix.MS_REC}},
	} {
		if got := parseMountOptions(test.mount); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v:\n%+v\nwant\n%+v", fmt.Sprint(test.mount.Type, test.mount.Options), got, test.want)
		}
	}
}
