package main

import (
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/rcrun/rcrun/rootless"
	"golang.org/x/sys/unix"
)

// describeHost returns what info says of the host; what cannot be found out stays empty.
func describeHost() hostInfo {
	info := hostInfo{ServerVersion: version, OSType: runtime.GOOS, NCPU: runtime.NumCPU(), KernelVersion: kernelVersion(),
		Architecture:  machine(),
		LoggingDriver: "json-file", CgroupDriver: "none", CgroupVersion: cgroupVersion(),
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=rootless"},
		SystemTime:      time.Now().Format(time.RFC3339Nano), Host: rootless.CheckHost()}
	info.Name, _ = os.Hostname()
	var memory unix.Sysinfo_t
	if err := unix.Sysinfo(&memory); err == nil {
		info.MemTotal = int64(memory.Totalram) * int64(memory.Unit)
	}
	release := osRelease()
	info.OperatingSystem, info.OSVersion = release["PRETTY_NAME"], release["VERSION_ID"]
	return info
}

func kernelVersion() string {
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
	values := map[string]string{}
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[name] = strings.Trim(value, `"'`)
		}
		break
	}
	return values
}
