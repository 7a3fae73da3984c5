package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/rootless"
	"github.com/spf13/cobra"
)

// hostInfo is what info prints: Docker's object, as far as there is something to say, and Host.
type hostInfo struct {
	Containers        int
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Images            int
	Driver            string
	// DriverStatus is what the storage driver says of itself: pairs of a key and a value, as Docker has them.
	DriverStatus    [][2]string
	MemoryLimit     bool // whether limits of memory, CPU time and processes hold
	SwapLimit       bool
	CPUCfsPeriod    bool `json:"CpuCfsPeriod"`
	CPUCfsQuota     bool `json:"CpuCfsQuota"`
	CPUShares       bool
	CPUSet          bool
	PidsLimit       bool
	LoggingDriver   string
	CgroupDriver    string
	CgroupVersion   string
	KernelVersion   string
	OperatingSystem string
	OSType          string
	OSVersion       string
	Architecture    string
	NCPU            int
	MemTotal        int64 // bytes
	DockerRootDir   string
	RunDir          string
	Name            string
	ServerVersion   string
	SecurityOptions []string
	SystemTime      string
	Host            []rootless.Finding
}

func (a *app) infoCommand() *cobra.Command {
	var format string
	var check bool
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Print what this host allows, and what to do about what it does not",
		Example: "  rcrun info\n  rcrun info --format json\n" +
			"  rcrun info --check   # only the host; fails if containers cannot run",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return checkHost()
			}
			e, err := a.engine()
			if err != nil {
				return errors.Join(describeHost().print(format), err)
			}
			defer e.Close()
			info, err := collectInfo(e)
			return errors.Join(info.print(format), err)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	cmd.Flags().BoolVar(&check, "check", false, "only check the host, and fail if containers cannot run on it")
	return cmd
}

// print prints the object in a format, "" for people.
func (info hostInfo) print(format string) error {
	switch format {
	case "":
		printInfo(info)
		return nil
	case "json":
		return printJSONLines([]hostInfo{info})
	}
	return printObjects([]any{info}, format)
}

// collectInfo finds out what it can; the error says what is missing from it.
func collectInfo(e *layered.Engine) (hostInfo, error) {
	info := describeHost()
	info.DockerRootDir, info.RunDir = e.Dirs.Data, e.Dirs.Run
	list, _, err := e.Containers()
	if err != nil {
		return info, err
	}
	info.Containers = len(list)
	for _, c := range list {
		if c.State.Status == engine.Running {
			info.ContainersRunning++
		}
	}
	info.ContainersStopped = info.Containers - info.ContainersRunning
	store, err := e.Store()
	if err != nil {
		return info, err
	}
	info.Driver = store.Driver()
	if info.DriverStatus, err = store.Status(); err != nil {
		return info, err
	}
	images, err := store.Images()
	info.Images = len(images)
	return info, err
}

func printInfo(info hostInfo) {
	fmt.Printf("Version:        %s\nKernel:         %s (%s)\n",
		info.ServerVersion, info.KernelVersion, info.Architecture)
	fmt.Printf("System:         %s, %d CPUs, %s memory\n",
		info.OperatingSystem, info.NCPU, units.BytesSize(float64(info.MemTotal)))
	fmt.Printf("Cgroups:        version %s, not used: no limits of memory, CPU time and processes\n",
		info.CgroupVersion)
	if info.DockerRootDir != "" {
		fmt.Printf("Data directory: %s\nRun directory:  %s\n", info.DockerRootDir, info.RunDir)
		fmt.Printf("Containers:     %d (%d running)\nImages:         %d\nStorage driver: %s\n",
			info.Containers, info.ContainersRunning, info.Images, info.Driver)
	}
	for _, pair := range info.DriverStatus {
		fmt.Printf("  %s: %s\n", pair[0], pair[1])
	}
	fmt.Println("Host:")
	printFindings(info.Host)
}

func printFindings(findings []rootless.Finding) {
	for _, f := range findings {
		mark := "ok"
		if !f.OK {
			mark = "!!"
		}
		fmt.Printf("  %s %s: %s\n", mark, f.Name, f.Detail)
		if !f.OK && f.Fix != "" {
			fmt.Printf("     fix: %s\n", strings.ReplaceAll(f.Fix, "\n", "\n          "))
		}
	}
}

// checkHost prints what the host allows, and fails where it lacks what no container can do without.
func checkHost() error {
	findings := rootless.CheckHost()
	printFindings(findings)
	for _, f := range findings {
		if !f.OK && f.Required {
			return fmt.Errorf("containers cannot run on this host: %s: %s", f.Name, f.Detail)
		}
	}
	return nil
}
