package main

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/rcrun/rcrun/engine"
	"github.com/spf13/pflag"
)

// resourceFlags are the limits of a container.
type resourceFlags struct {
	engine.Resources
	kernelMemory     int64
	swappiness, pids int64
	oomKillDisable   bool
	set              *pflag.FlagSet
}

// noEffect is what the help says of limits that are accepted for the sake of scripts.
const noEffect = "; no effect, and a warning says so"

func (f *resourceFlags) register(flags *pflag.FlagSet) {
	f.set = flags
	r := &f.Resources
	flags.VarP((*memoryFlag)(&r.Memory), "memory", "m", "limit of memory"+noEffect)
	flags.Var((*swapFlag)(&r.MemorySwap), "memory-swap", "limit of memory and swap together, -1 for none"+noEffect)
	flags.Var((*memoryFlag)(&r.MemoryReservation), "memory-reservation", "soft limit of memory"+noEffect)
	flags.Var((*memoryFlag)(&f.kernelMemory), "kernel-memory", "limit of the kernel's memory"+noEffect)
	flags.Int64Var(&f.swappiness, "memory-swappiness", -1, "readiness to swap, from 0 to 100"+noEffect)
	flags.BoolVar(&f.oomKillDisable, "oom-kill-disable", false, "do not kill when memory is short"+noEffect)
	flags.Var((*cpusFlag)(&r.NanoCPUs), "cpus", "number of CPUs, such as 1.5"+noEffect)
	flags.Int64VarP(&r.CPUShares, "cpu-shares", "c", 0, "share of CPU time"+noEffect)
	flags.Int64Var(&r.CPUPeriod, "cpu-period", 0, "period of --cpu-quota in microseconds"+noEffect)
	flags.Int64Var(&r.CPUQuota, "cpu-quota", 0, "CPU time in each period in microseconds"+noEffect)
	flags.Int64Var(&r.CPURealtimePeriod, "cpu-rt-period", 0, "period of --cpu-rt-runtime in microseconds"+noEffect)
	flags.Int64Var(&r.CPURealtimeRuntime, "cpu-rt-runtime", 0, "real-time in each period in microseconds"+noEffect)
	flags.StringVar(&r.CpusetCpus, "cpuset-cpus", "", "CPUs to run on, such as 0-3,5"+noEffect)
	flags.StringVar(&r.CpusetMems, "cpuset-mems", "", "memory nodes to use, such as 0-1"+noEffect)
	flags.Int64Var(&f.pids, "pids-limit", 0, "limit of processes, -1 for none"+noEffect)
	flags.Uint16Var(&r.BlkioWeight, "blkio-weight", 0, "share of block devices, from 10 to 1000"+noEffect)
	flags.Var((*weightsFlag)(&r.BlkioWeightDevice), "blkio-weight-device",
		"share of one block device: /dev/NAME:WEIGHT"+noEffect)
	flags.Var(&ratesFlag{&r.BlkioDeviceReadBps, units.RAMInBytes}, "device-read-bps",
		"bytes read a second: /dev/NAME:SIZE"+noEffect)
	flags.Var(&ratesFlag{&r.BlkioDeviceWriteBps, units.RAMInBytes}, "device-write-bps",
		"bytes written a second: /dev/NAME:SIZE"+noEffect)
	flags.Var(&ratesFlag{&r.BlkioDeviceReadIOps, parseCount}, "device-read-iops",
		"reads a second: /dev/NAME:NUMBER"+noEffect)
	flags.Var(&ratesFlag{&r.BlkioDeviceWriteIOps, parseCount}, "device-write-iops",
		"writes a second: /dev/NAME:NUMBER"+noEffect)
	flags.StringVar(&r.CgroupParent, "cgroup-parent", "", "cgroup to make the container's in"+noEffect)
	flags.Var((*ulimitsFlag)(&r.Ulimits), "ulimit", "limit of each process, such as nofile=1024:2048 (soft:hard)")
}

// resources returns what the flags say.
func (f *resourceFlags) resources() engine.Resources {
	r := f.Resources
	if f.set.Changed("memory-swappiness") {
		r.MemorySwappiness = &f.swappiness
	}
	if f.set.Changed("pids-limit") {
		r.PidsLimit = &f.pids
	}
	if f.set.Changed("oom-kill-disable") {
		r.OomKillDisable = &f.oomKillDisable
	}
	return r
}

// memoryFlag is a number of bytes such as 64m, 0 for no limit.
type memoryFlag int64

// Set reads what the user writes.
func (m *memoryFlag) Set(text string) error {
	size, err := units.RAMInBytes(text)
	if err != nil || size < 0 {
		return errors.New("want a size such as 64m")
	}
	*m = memoryFlag(size)
	return nil
}

func (m *memoryFlag) String() string { return sizeText(int64(*m)) }

// Type names the argument in help texts.
func (*memoryFlag) Type() string { return "size" }

// swapFlag is memoryFlag with -1 for no limit.
type swapFlag int64

// Set reads what the user writes.
func (s *swapFlag) Set(text string) error {
	if text == "-1" {
		*s = -1
		return nil
	}
	return (*memoryFlag)(s).Set(text)
}

func (s *swapFlag) String() string { return sizeText(int64(*s)) }

// Type names the argument in help texts.
func (*swapFlag) Type() string { return "size" }

// sizeText is the text of a size, "" for 0.
func sizeText(size int64) string {
	if size == 0 {
		return ""
	}
	return units.BytesSize(float64(size))
}

// cpusFlag is a number of CPUs in billionths.
type cpusFlag int64

// Set reads a decimal number.
func (c *cpusFlag) Set(text string) error {
	number, ok := new(big.Rat).SetString(text)
	if !ok {
		return errors.New("want a number such as 1.5")
	}
	nano := number.Mul(number, big.NewRat(1e9, 1))
	if !nano.IsInt() || !nano.Num().IsInt64() {
		return errors.New("it is too precise or too large")
	}
	*c = cpusFlag(nano.Num().Int64())
	return nil
}

func (c *cpusFlag) String() string {
	if *c == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*c)/1e9, 'f', -1, 64)
}

// Type names the argument in help texts.
func (*cpusFlag) Type() string { return "number" }

// splitDevice splits /dev/NAME:VALUE.
func splitDevice(text string) (device, value string, err error) {
	device, value, _ = strings.Cut(text, ":")
	if !strings.HasPrefix(device, "/dev/") || value == "" {
		return "", "", errors.New("want /dev/NAME:VALUE")
	}
	return device, value, nil
}

type weightsFlag []*blkiodev.WeightDevice

// Set adds what the user writes.
func (w *weightsFlag) Set(text string) error {
	device, value, err := splitDevice(text)
	if err != nil {
		return err
	}
	weight, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return fmt.Errorf("want a weight from 10 to 1000, not %q", value)
	}
	*w = append(*w, &blkiodev.WeightDevice{Path: device, Weight: uint16(weight)})
	return nil
}

func (w *weightsFlag) String() string { return listText(*w) }

// Type names the argument in help texts.
func (*weightsFlag) Type() string { return "list" }

// ratesFlag adds limits of block devices to a list.
type ratesFlag struct {
	list  *[]*blkiodev.ThrottleDevice
	parse func(text string) (int64, error)
}

func parseCount(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }

// Set adds what the user writes.
func (r *ratesFlag) Set(text string) error {
	device, value, err := splitDevice(text)
	if err != nil {
		return err
	}
	rate, err := r.parse(value)
	if err != nil || rate < 0 {
		return fmt.Errorf("want a rate, not %q", value)
	}
	*r.list = append(*r.list, &blkiodev.ThrottleDevice{Path: device, Rate: uint64(rate)})
	return nil
}

func (r *ratesFlag) String() string {
	if r.list == nil {
		return ""
	}
	return listText(*r.list)
}

// Type names the argument in help texts.
func (*ratesFlag) Type() string { return "list" }

// ulimitsFlag are limits by name; of one given twice the last holds.
type ulimitsFlag []*units.Ulimit

// Set adds what the user writes.
func (u *ulimitsFlag) Set(text string) error {
	limit, err := units.ParseUlimit(text)
	if err != nil {
		return err
	}
	for i, known := range *u {
		if known.Name == limit.Name {
			(*u)[i] = limit
			return nil
		}
	}
	*u = append(*u, limit)
	return nil
}

func (u *ulimitsFlag) String() string { return listText(*u) }

// Type names the argument in help texts.
func (*ulimitsFlag) Type() string { return "list" }

// listText is the text of a list, "" for an empty one.
func listText[E any](list []E) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprint(list)
}
