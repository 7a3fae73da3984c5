package filesystem

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine describes what the results depend on.
type Machine struct {
	CPUs          int    `json:"cpus"`
	CPU           string `json:"cpu"`
	Kernel        string `json:"kernel"`
	Filesystem    string `json:"filesystem"` // that all files are on
	FuseOverlayfs string `json:"fuseOverlayfs"`
}

func (m Machine) String() string {
	return fmt.Sprintf("%d x %s; Linux %s; on %s; %s.", m.CPUs, m.CPU, m.Kernel, m.Filesystem, m.FuseOverlayfs)
}

// describeMachine describes the machine as well as it can. What it cannot find out is "unknown".
func describeMachine(dir, fuseOverlayfs string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), CPU: "unknown", Kernel: "unknown", Filesystem: "unknown",
		FuseOverlayfs: "no fuse-overlayfs"}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = field(string(info), "model name", m.CPU)
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(release))
	}
	if out, err := exec.Command("stat", "--file-system", "--format=%T", dir).Output(); err == nil {
		m.Filesystem = strings.TrimSpace(string(out))
	}
	if out, err := exec.Command(fuseOverlayfs, "--version").Output(); err == nil {
		m.FuseOverlayfs = "fuse-overlayfs " + field(string(out), "fuse-overlayfs: version", "unknown")
	}
	return m
}

// field returns what follows name, and perhaps a colon, on its line of text.
func field(text, name, otherwise string) string {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, name); found {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), ":"))
		}
	}
	return otherwise
}
