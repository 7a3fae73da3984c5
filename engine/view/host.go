package view

import (
	"context"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/moby/moby/api/types/system"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/rootless"
	"golang.org/x/sys/unix"
)

// Info is what is known of the host, and of the engine on it.
type Info struct {
	system.Info
	RunDir string             // beside DockerRootDir
	Host   []rootless.Finding // what the host allows
}

// Host returns what Info says of the host; what cannot be found out stays empty. version is the program's.
func Host(version string) Info {
	info := Info{Info: system.Info{
		ServerVersion: version, OSType: runtime.GOOS, NCPU: runtime.NumCPU(), KernelVersion: KernelVersion(),
		Architecture:  machine(),
		LoggingDriver: "json-file", CgroupDriver: "none", CgroupVersion: cgroupVersion(),
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=rootless"},
		SystemTime:      time.Now().Format(time.RFC3339Nano),
	}, Host: rootless.CheckHost()}
	info.Name, _ = os.Hostname()
	var memory unix.Sysinfo_t
	if err := unix.Sysinfo(&memory); err == nil {
		info.MemTotal = int64(memory.Totalram) * int64(memory.Unit)
	}
	release := osRelease()
	info.OperatingSystem, info.OSVersion = release["PRETTY_NAME"], release["VERSION_ID"]
	return info
}

// Describe returns what Host does, and what the engine has. The error says what is missing from it.
func Describe(ctx context.Context, e *layered.Engine, version string) (Info, error) {
	info := Host(version)
	info.DockerRootDir, info.RunDir = e.Containers.Dirs.Data, e.Containers.Dirs.Run
	list, _, err := e.Containers.List(ctx)
	if err != nil {
		return info, err
	}
	info.count(list)
	store, err := e.Store(ctx)
	if err != nil {
		return info, err
	}
	info.Driver = store.Driver()
	if info.DriverStatus, err = store.Status(ctx); err != nil {
		return info, err
	}
	images, err := store.Images(ctx)
	info.Images = len(images)
	if err != nil {
		return info, err
	}
	return info, ctx.Err()
}

// count counts the containers by what they are doing.
func (info *Info) count(list []*engine.Container) {
	info.Containers = len(list)
	for _, c := range list {
		switch {
		case c.State.Status == engine.Paused:
			info.ContainersPaused++
		case c.State.Status.Up():
			info.ContainersRunning++
		default:
			info.ContainersStopped++
		}
	}
}

// KernelVersion is the release of the kernel: 6.12.1.
func KernelVersion() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// machine is the hardware's name as the kernel has it: x86_64.
func machine() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Machine[:])
}

// cgroupVersion is "2" where the host has the unified hierarchy only.
func cgroupVersion() string {
	var fs unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return "2"
	}
	return "1"
}

// osRelease reads os-release(5).
func osRelease() map[string]string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if text, err := os.ReadFile(path); err == nil {
			return parseRelease(string(text))
		}
	}
	return nil
}

func parseRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = strings.Trim(value, `"'`)
	}
	return values
}
