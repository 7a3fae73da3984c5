package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// leastMemory is the smallest limit that Docker takes.
const leastMemory = 6 << 20

func (h *HostConfig) validateResources() error {
	return errors.Join(h.validateMemory(), h.validateCPU(), h.validateBlkio(), h.validateUlimits())
}

func (h *HostConfig) validateMemory() error {
	switch {
	case h.Memory > 0 && h.Memory < leastMemory:
		return errors.New("invalid --memory: the least limit is 6MB")
	case h.Memory > 0 && h.MemorySwap > 0 && h.MemorySwap < h.Memory:
		return errors.New("invalid --memory-swap: it is memory and swap together, and must not be less than --memory")
	case h.Memory == 0 && h.MemorySwap > 0:
		return errors.New("invalid --memory-swap: it needs --memory")
	case h.MemorySwappiness != nil && (*h.MemorySwappiness < -1 || *h.MemorySwappiness > 100):
		return fmt.Errorf("invalid --memory-swappiness %d: the range is from 0 to 100", *h.MemorySwappiness)
	case h.MemoryReservation > 0 && h.MemoryReservation < leastMemory:
		return errors.New("invalid --memory-reservation: the least one is 6MB")
	case h.Memory > 0 && h.Memory < h.MemoryReservation:
		return errors.New("invalid --memory-reservation: it must not be more than --memory")
	case h.KernelMemory > 0 && h.KernelMemory < leastMemory:
		return errors.New("invalid --kernel-memory: the least limit is 6MB")
	}
	return nil
}

func (h *HostConfig) validateCPU() error {
	const second = 1_000_000 // microseconds
	cpus := runtime.NumCPU()
	switch {
	case h.NanoCPUs > 0 && h.CPUPeriod > 0:
		return errors.New("conflicting options: --cpus and --cpu-period cannot both be set")
	case h.NanoCPUs > 0 && h.CPUQuota > 0:
		return errors.New("conflicting options: --cpus and --cpu-quota cannot both be set")
	case h.NanoCPUs < 0 || h.NanoCPUs > int64(cpus)*1e9:
		return fmt.Errorf("invalid --cpus: the range is from 0.01 to %d.00, as there are only %d CPUs available",
			cpus, cpus)
	case h.CPUShares < 0:
		return fmt.Errorf("invalid --cpu-shares %d: it must not be negative", h.CPUShares)
	case h.CPUPeriod != 0 && (h.CPUPeriod < second/1000 || h.CPUPeriod > second):
		return errors.New("invalid --cpu-period: it must be from 1ms (1000) to 1s (1000000)")
	case h.CPUQuota > 0 && h.CPUQuota < second/1000:
		return errors.New("invalid --cpu-quota: it must not be less than 1ms (1000)")
	case h.CPURealtimePeriod > 0 && h.CPURealtimeRuntime > h.CPURealtimePeriod:
		return errors.New("invalid --cpu-rt-runtime: it must not be more than --cpu-rt-period")
	}
	return errors.Join(validateSet("--cpuset-cpus", h.CpusetCpus, "/sys/devices/system/cpu/online"),
		validateSet("--cpuset-mems", h.CpusetMems, "/sys/devices/system/node/online"))
}

// validateSet checks a list such as 0-3,5 against one that the kernel has in a file; where the host has no such file,
// only its form.
func validateSet(flag, list, onlineFile string) error {
	wanted, err := parseSet(list)
	if err != nil {
		return fmt.Errorf("invalid %s %q: want a list such as 0-3,5", flag, list)
	}
	text, err := os.ReadFile(onlineFile)
	if err != nil {
		return nil
	}
	online, err := parseSet(strings.TrimSpace(string(text)))
	if err != nil {
		return nil
	}
	for n := range wanted {
		if !online[n] {
			return fmt.Errorf("invalid %s %q: available are %s", flag, list, strings.TrimSpace(string(text)))
		}
	}
	return nil
}

// parseSet reads a list of numbers and ranges as the kernel writes it.
func parseSet(list string) (map[int]bool, error) {
	const most = 8192 // CPUs that a kernel can be built for
	set := map[int]bool{}
	if list == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 0 || last < first || last >= most {
			return nil, fmt.Errorf("invalid range %q", part)
		}
		for n := first; n <= last; n++ {
			set[n] = true
		}
	}
	return set, nil
}

func (h *HostConfig) validateBlkio() error {
	if !validWeight(h.BlkioWeight) {
		return fmt.Errorf("invalid --blkio-weight %d: the range is from 10 to 1000", h.BlkioWeight)
	}
	for _, d := range h.BlkioWeightDevice {
		if !validWeight(d.Weight) {
			return fmt.Errorf("invalid --blkio-weight-device %s:%d: the range is from 10 to 1000", d.Path, d.Weight)
		}
	}
	return nil
}

func validWeight(weight uint16) bool { return weight == 0 || weight >= 10 && weight <= 1000 }

// rlimit is a limit of the kernel's by the name that Docker has for it: nofile is RLIMIT_NOFILE.
func rlimit(u *units.Ulimit) specs.POSIXRlimit {
	return specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)}
}

func (h *HostConfig) rlimits() []specs.POSIXRlimit {
	var all []specs.POSIXRlimit
	for _, u := range h.Ulimits {
		all = append(all, rlimit(u))
	}
	return all
}

// validateUlimits refuses limits above the caller's own, which the kernel lets only root of the host raise.
func (h *HostConfig) validateUlimits() error {
	for _, u := range h.Ulimits {
		kernel, err := u.GetRlimit()
		if err != nil {
			return fmt.Errorf("invalid --ulimit %s: %w", u, err)
		}
		var own unix.Rlimit
		if err := unix.Getrlimit(kernel.Type, &own); err != nil {
			return fmt.Errorf("invalid --ulimit %s: %w", u, err)
		}
		if kernel.Hard > own.Max || kernel.Soft > own.Max {
			return fmt.Errorf("invalid --ulimit %s: your own hard limit is %s, which only root can raise "+
				"(see ulimit -H and limits.conf(5))", u, limitText(own.Max))
		}
	}
	return nil
}

func limitText(limit uint64) string {
	if limit == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(limit, 10)
}

// Warning says which of the limits do not hold, "" where all do.
func (h *HostConfig) Warning() string {
	var flags []string
	for _, limit := range []struct {
		flag string
		set  bool
	}{
		{"--memory", h.Memory > 0}, {"--memory-swap", h.MemorySwap != 0}, {"--memory-reservation", h.MemoryReservation > 0},
		{"--memory-swappiness", h.MemorySwappiness != nil && *h.MemorySwappiness >= 0},
		{"--kernel-memory", h.KernelMemory > 0},
		{"--oom-kill-disable", h.OomKillDisable != nil && *h.OomKillDisable}, {"--cpus", h.NanoCPUs > 0},
		{"--cpu-shares", h.CPUShares > 0},
		{"--cpu-period", h.CPUPeriod > 0}, {"--cpu-quota", h.CPUQuota > 0}, {"--cpu-rt-period", h.CPURealtimePeriod > 0},
		{"--cpu-rt-runtime", h.CPURealtimeRuntime > 0},
		{"--cpuset-cpus", h.CpusetCpus != ""}, {"--cpuset-mems", h.CpusetMems != ""},
		{"--pids-limit", h.PidsLimit != nil && *h.PidsLimit > 0}, {"--blkio-weight", h.BlkioWeight > 0},
		{"--blkio-weight-device", len(h.BlkioWeightDevice) > 0}, {"--device-read-bps", len(h.BlkioDeviceReadBps) > 0},
		{"--device-write-bps", len(h.BlkioDeviceWriteBps) > 0}, {"--device-read-iops", len(h.BlkioDeviceReadIOps) > 0},
		{"--device-write-iops", len(h.BlkioDeviceWriteIOps) > 0}, {"--cgroup-parent", h.CgroupParent != ""},
	} {
		if limit.set {
			flags = append(flags, limit.flag)
		}
	}
	if len(flags) == 0 {
		return ""
	}
	return fmt.Sprintf("%s without effect: rcrun makes no cgroups, which such limits need", strings.Join(flags, ", "))
}
