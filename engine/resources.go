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
		return errors.New("invalid HostConfig.Memory: the least limit is 6MB")
	case h.Memory > 0 && h.MemorySwap > 0 && h.MemorySwap < h.Memory:
		return errors.New("invalid HostConfig.MemorySwap: it is memory and swap together, " +
			"and must not be less than HostConfig.Memory")
	case h.Memory == 0 && h.MemorySwap > 0:
		return errors.New("invalid HostConfig.MemorySwap: it needs HostConfig.Memory")
	case h.MemorySwappiness != nil && (*h.MemorySwappiness < -1 || *h.MemorySwappiness > 100):
		return fmt.Errorf("invalid HostConfig.MemorySwappiness %d: the range is from 0 to 100", *h.MemorySwappiness)
	case h.MemoryReservation > 0 && h.MemoryReservation < leastMemory:
		return errors.New("invalid HostConfig.MemoryReservation: the least one is 6MB")
	case h.Memory > 0 && h.Memory < h.MemoryReservation:
		return errors.New("invalid HostConfig.MemoryReservation: it must not be more than HostConfig.Memory")
	case h.KernelMemory > 0 && h.KernelMemory < leastMemory:
		return errors.New("invalid HostConfig.KernelMemory: the least limit is 6MB")
	}
	return nil
}

func (h *HostConfig) validateCPU() error {
	const second = 1_000_000 // microseconds
	cpus := runtime.NumCPU()
	switch {
	case h.NanoCPUs > 0 && h.CPUPeriod > 0:
		return errors.New("conflicting options: HostConfig.NanoCpus and HostConfig.CpuPeriod cannot both be set")
	case h.NanoCPUs > 0 && h.CPUQuota > 0:
		return errors.New("conflicting options: HostConfig.NanoCpus and HostConfig.CpuQuota cannot both be set")
	case h.NanoCPUs < 0 || h.NanoCPUs > int64(cpus)*1e9:
		return fmt.Errorf("invalid HostConfig.NanoCpus: "+
			"the range is from 0.01 to %d.00, as there are only %d CPUs available",
			cpus, cpus)
	case h.CPUShares < 0:
		return fmt.Errorf("invalid HostConfig.CpuShares %d: it must not be negative", h.CPUShares)
	case h.CPUPeriod != 0 && (h.CPUPeriod < second/1000 || h.CPUPeriod > second):
		return errors.New("invalid HostConfig.CpuPeriod: it must be from 1ms (1000) to 1s (1000000)")
	case h.CPUQuota > 0 && h.CPUQuota < second/1000:
		return errors.New("invalid HostConfig.CpuQuota: it must not be less than 1ms (1000)")
	case h.CPURealtimePeriod > 0 && h.CPURealtimeRuntime > h.CPURealtimePeriod:
		return errors.New("invalid HostConfig.CpuRealtimeRuntime: " +
			"it must not be more than HostConfig.CpuRealtimePeriod")
	}
	return errors.Join(validateSet("HostConfig.CpusetCpus", h.CpusetCpus, "/sys/devices/system/cpu/online"),
		validateSet("HostConfig.CpusetMems", h.CpusetMems, "/sys/devices/system/node/online"))
}

// validateSet checks a list such as 0-3,5 against one that the kernel has in a file; where the host has no such file,
// only its form.
func validateSet(setting, list, onlineFile string) error {
	wanted, err := parseSet(list)
	if err != nil {
		return fmt.Errorf("invalid %s %q: want a list such as 0-3,5", setting, list)
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
			return fmt.Errorf("invalid %s %q: available are %s", setting, list, strings.TrimSpace(string(text)))
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
		return fmt.Errorf("invalid HostConfig.BlkioWeight %d: the range is from 10 to 1000", h.BlkioWeight)
	}
	for _, d := range h.BlkioWeightDevice {
		if !validWeight(d.Weight) {
			return fmt.Errorf("invalid HostConfig.BlkioWeightDevice %s:%d: the range is from 10 to 1000",
				d.Path, d.Weight)
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
			return fmt.Errorf("invalid HostConfig.Ulimits %s: %w", u, err)
		}
		var own unix.Rlimit
		if err := unix.Getrlimit(kernel.Type, &own); err != nil {
			return fmt.Errorf("invalid HostConfig.Ulimits %s: %w", u, err)
		}
		if kernel.Hard > own.Max || kernel.Soft > own.Max {
			return fmt.Errorf("invalid HostConfig.Ulimits %s: your own hard limit is %s, which only root can raise "+
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
	var settings []string
	for _, limit := range []struct {
		setting string
		set     bool
	}{
		{"HostConfig.Memory", h.Memory > 0},
		{"HostConfig.MemorySwap", h.MemorySwap != 0},
		{"HostConfig.MemoryReservation", h.MemoryReservation > 0},
		{"HostConfig.MemorySwappiness", h.MemorySwappiness != nil && *h.MemorySwappiness >= 0},
		{"HostConfig.KernelMemory", h.KernelMemory > 0},
		{"HostConfig.OomKillDisable", h.OomKillDisable != nil && *h.OomKillDisable},
		{"HostConfig.NanoCpus", h.NanoCPUs > 0},
		{"HostConfig.CpuShares", h.CPUShares > 0},
		{"HostConfig.CpuPeriod", h.CPUPeriod > 0},
		{"HostConfig.CpuQuota", h.CPUQuota > 0},
		{"HostConfig.CpuRealtimePeriod", h.CPURealtimePeriod > 0},
		{"HostConfig.CpuRealtimeRuntime", h.CPURealtimeRuntime > 0},
		{"HostConfig.CpusetCpus", h.CpusetCpus != ""},
		{"HostConfig.CpusetMems", h.CpusetMems != ""},
		{"HostConfig.PidsLimit", h.PidsLimit != nil && *h.PidsLimit > 0},
		{"HostConfig.BlkioWeight", h.BlkioWeight > 0},
		{"HostConfig.BlkioWeightDevice", len(h.BlkioWeightDevice) > 0},
		{"HostConfig.BlkioDeviceReadBps", len(h.BlkioDeviceReadBps) > 0},
		{"HostConfig.BlkioDeviceWriteBps", len(h.BlkioDeviceWriteBps) > 0},
		{"HostConfig.BlkioDeviceReadIOps", len(h.BlkioDeviceReadIOps) > 0},
		{"HostConfig.BlkioDeviceWriteIOps", len(h.BlkioDeviceWriteIOps) > 0},
		{"HostConfig.CgroupParent", h.CgroupParent != ""},
	} {
		if limit.set {
			settings = append(settings, limit.setting)
		}
	}
	if len(settings) == 0 {
		return ""
	}
	return fmt.Sprintf("%s without effect: rcrun makes no cgroups, which such limits need",
		strings.Join(settings, ", "))
}
