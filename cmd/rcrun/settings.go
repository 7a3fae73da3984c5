package main

import (
	"regexp"
)

// settingFlags are the flags of the settings of a container, which the engine names as Docker's API does.
var settingFlags = map[string]string{
	"Config.Entrypoint":               "--entrypoint",
	"Config.ExposedPorts":             "--expose",
	"Config.Hostname":                 "--hostname",
	"Config.StopSignal":               "--stop-signal",
	"Config.User":                     "--user",
	"Config.WorkingDir":               "--workdir",
	"HostConfig.Binds":                "--volume",
	"HostConfig.BlkioDeviceReadBps":   "--device-read-bps",
	"HostConfig.BlkioDeviceReadIOps":  "--device-read-iops",
	"HostConfig.BlkioDeviceWriteBps":  "--device-write-bps",
	"HostConfig.BlkioDeviceWriteIOps": "--device-write-iops",
	"HostConfig.BlkioWeight":          "--blkio-weight",
	"HostConfig.BlkioWeightDevice":    "--blkio-weight-device",
	"HostConfig.CgroupParent":         "--cgroup-parent",
	"HostConfig.CpuPeriod":            "--cpu-period",
	"HostConfig.CpuQuota":             "--cpu-quota",
	"HostConfig.CpuRealtimePeriod":    "--cpu-rt-period",
	"HostConfig.CpuRealtimeRuntime":   "--cpu-rt-runtime",
	"HostConfig.CpuShares":            "--cpu-shares",
	"HostConfig.CpusetCpus":           "--cpuset-cpus",
	"HostConfig.CpusetMems":           "--cpuset-mems",
	"HostConfig.KernelMemory":         "--kernel-memory",
	"HostConfig.Memory":               "--memory",
	"HostConfig.MemoryReservation":    "--memory-reservation",
	"HostConfig.MemorySwap":           "--memory-swap",
	"HostConfig.MemorySwappiness":     "--memory-swappiness",
	"HostConfig.NanoCpus":             "--cpus",
	"HostConfig.NetworkMode":          "--network",
	"HostConfig.OomKillDisable":       "--oom-kill-disable",
	"HostConfig.PidsLimit":            "--pids-limit",
	"HostConfig.PortBindings":         "--publish",
	"HostConfig.Rootfs":               "--rootfs",
	"HostConfig.RootfsOverlay":        "--rootfs DIR:O",
	"HostConfig.SecurityOpt":          "--security-opt",
	"HostConfig.StorageOpt":           "--storage-opt",
	"HostConfig.Tmpfs":                "--tmpfs",
	"HostConfig.Ulimits":              "--ulimit",
	"HostConfig.UsernsMode":           "--userns",
}

// setting is how a text of the engine names a setting.
var setting = regexp.MustCompile(`\b(?:Host)?Config\.[A-Za-z]+\b`)

// withFlags puts flags in the place of the settings that a text names.
func withFlags(text string) string {
	return setting.ReplaceAllStringFunc(text, func(name string) string {
		if flag, ok := settingFlags[name]; ok {
			return flag
		}
		return name
	})
}
