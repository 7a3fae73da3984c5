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

// Resources are the limits of a container: the part of Docker's HostConfig of that name. Of these only Ulimits hold:
// the others need a cgroup, which rcrun does not make. They are validated and kept.
type Resources struct {
	CPUShares            int64            `json:"CpuShares"`
	Memory               int64            `json:"Memory"`   // bytes
	NanoCPUs             int64            `json:"NanoCpus"` // billionths of a CPU
	CgroupParent         string           `json:"CgroupParent"`
	BlkioWeight          uint16           `json:"BlkioWeight"`
	BlkioWeightDevice    []WeightDevice   `json:"BlkioWeightDevice"`
	BlkioDeviceReadBps   []ThrottleDevice `json:"BlkioDeviceReadBps"`
	BlkioDeviceWriteBps  []ThrottleDevice `json:"BlkioDeviceWriteBps"`
	BlkioDeviceReadIOps  []ThrottleDevice `json:"BlkioDeviceReadIOps"`
	BlkioDeviceWriteIOps []ThrottleDevice `json:"BlkioDeviceWriteIOps"`
	CPUPeriod            int64            `json:"CpuPeriod"` // microseconds
	CPUQuota             int64            `json:"CpuQuota"`  // microseconds
	CPURealtimePeriod    int64            `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime   int64            `json:"CpuRealtimeRuntime"`
	CpusetCpus           string           `json:"CpusetCpus"`
	CpusetMems           string           `json:"CpusetMems"`
	KernelMemory         int64            `json:"KernelMemory,omitempty"` // bytes
	MemoryReservation    int64            `json:"MemoryReservation"`      // bytes
	MemorySwap           int64            `json:"MemorySwap"`             // bytes with Memory; -1 is no limit
	MemorySwappiness     *int64           `json:"MemorySwappiness"`
	OomKillDisable       *bool            `json:"OomKillDisable"`
	PidsLimit            *int64           `json:"PidsLimit"`
	Ulimits              []*units.Ulimit  `json:"Ulimits"`
}

// WeightDevice is the share of a block device.
type WeightDevice struct {
	Path   string
	Weight uint16
}

// ThrottleDevice is the limit of a block device: bytes or operations a second.
type ThrottleDevice struct {
	Path string
	Rate uint64
}

// leastMemory is the smallest limit that Docker takes.
const leastMemory = 6 << 20

func (r *Resources) validate() error {
	return errors.Join(r.validateMemory(), r.validateCPU(), r.validateBlkio(), r.validateUlimits())
}

func (r *Resources) validateMemory() error {
	switch {
	case r.Memory > 0 && r.Memory < leastMemory:
		return errors.New("invalid --memory: the least limit is 6MB")
	case r.Memory > 0 && r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return errors.New("invalid --memory-swap: it is memory and swap together, and must not be less than --memory")
	case r.Memory == 0 && r.MemorySwap > 0:
		return errors.New("invalid --memory-swap: it needs --memory")
	case r.MemorySwappiness != nil && (*r.MemorySwappiness < -1 || *r.MemorySwappiness > 100):
		return fmt.Errorf("invalid --memory-swappiness %d: the range is from 0 to 100", *r.MemorySwappiness)
	case r.MemoryReservation > 0 && r.MemoryReservation < leastMemory:
		return errors.New("invalid --memory-reservation: the least one is 6MB")
	case r.Memory > 0 && r.Memory < r.MemoryReservation:
		return errors.New("invalid --memory-reservation: it must not be more than --memory")
	case r.KernelMemory > 0 && r.KernelMemory < leastMemory:
		return errors.New("invalid --kernel-memory: the least limit is 6MB")
	}
	return nil
}

func (r *Resources) validateCPU() error {
	const second = 1_000_000 // microseconds
	cpus := runtime.NumCPU()
	switch {
	case r.NanoCPUs > 0 && r.CPUPeriod > 0:
		return errors.New("conflicting options: --cpus and --cpu-period cannot both be set")
	case r.NanoCPUs > 0 && r.CPUQuota > 0:
		return errors.New("conflicting options: --cpus and --cpu-quota cannot both be set")
	case r.NanoCPUs < 0 || r.NanoCPUs > int64(cpus)*1e9:
		return fmt.Errorf("invalid --cpus: the range is from 0.01 to %d.00, as there are only %d CPUs available",
			cpus, cpus)
	case r.CPUShares < 0:
		return fmt.Errorf("invalid --cpu-shares %d: it must not be negative", r.CPUShares)
	case r.CPUPeriod != 0 && (r.CPUPeriod < second/1000 || r.CPUPeriod > second):
		return errors.New("invalid --cpu-period: it must be from 1ms (1000) to 1s (1000000)")
	case r.CPUQuota > 0 && r.CPUQuota < second/1000:
		return errors.New("invalid --cpu-quota: it must not be less than 1ms (1000)")
	case r.CPURealtimePeriod > 0 && r.CPURealtimeRuntime > r.CPURealtimePeriod:
		return errors.New("invalid --cpu-rt-runtime: it must not be more than --cpu-rt-period")
	}
	return errors.Join(validateSet("--cpuset-cpus", r.CpusetCpus, "/sys/devices/system/cpu/online"),
		validateSet("--cpuset-mems", r.CpusetMems, "/sys/devices/system/node/online"))
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

func (r *Resources) validateBlkio() error {
	if !validWeight(r.BlkioWeight) {
		return fmt.Errorf("invalid --blkio-weight %d: the range is from 10 to 1000", r.BlkioWeight)
	}
	for _, d := range r.BlkioWeightDevice {
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

func (r *Resources) rlimits() []specs.POSIXRlimit {
	var all []specs.POSIXRlimit
	for _, u := range r.Ulimits {
		all = append(all, rlimit(u))
	}
	return all
}

// validateUlimits refuses limits above the caller's own, which the kernel lets only root of the host raise.
func (r *Resources) validateUlimits() error {
	for _, u := range r.Ulimits {
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
func (r *Resources) Warning() string {
	var flags []string
	for _, limit := range []struct {
		flag string
		set  bool
	}{
		{"--memory", r.Memory > 0}, {"--memory-swap", r.MemorySwap != 0}, {"--memory-reservation", r.MemoryReservation > 0},
		{"--memory-swappiness", r.MemorySwappiness != nil && *r.MemorySwappiness >= 0},
		{"--kernel-memory", r.KernelMemory > 0},
		{"--oom-kill-disable", r.OomKillDisable != nil && *r.OomKillDisable}, {"--cpus", r.NanoCPUs > 0},
		{"--cpu-shares", r.CPUShares > 0},
		{"--cpu-period", r.CPUPeriod > 0}, {"--cpu-quota", r.CPUQuota > 0}, {"--cpu-rt-period", r.CPURealtimePeriod > 0},
		{"--cpu-rt-runtime", r.CPURealtimeRuntime > 0},
		{"--cpuset-cpus", r.CpusetCpus != ""}, {"--cpuset-mems", r.CpusetMems != ""},
		{"--pids-limit", r.PidsLimit != nil && *r.PidsLimit > 0}, {"--blkio-weight", r.BlkioWeight > 0},
		{"--blkio-weight-device", len(r.BlkioWeightDevice) > 0}, {"--device-read-bps", len(r.BlkioDeviceReadBps) > 0},
		{"--device-write-bps", len(r.BlkioDeviceWriteBps) > 0}, {"--device-read-iops", len(r.BlkioDeviceReadIOps) > 0},
		{"--device-write-iops", len(r.BlkioDeviceWriteIOps) > 0}, {"--cgroup-parent", r.CgroupParent != ""},
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
