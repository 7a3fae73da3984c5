package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/rootless"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// version is set when the binary is linked.
var version = "dev"

// versionInfo is what version prints.
type versionInfo struct {
	Version   string
	GoVersion string
	Os        string
	Arch      string
}

func (a *app) versionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  rcrun version --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			v := versionInfo{version, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if format != "" {
				return printRows([]versionInfo{v}, format, nil)
			}
			fmt.Printf("rcrun version %s (%s, %s/%s)\n", v.Version, v.GoVersion, v.Os, v.Arch)
			return nil
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	return cmd
}

// hostInfo is what info prints.
type hostInfo struct {
	Version    string
	Kernel     string
	Arch       string
	DataDir    string
	RunDir     string
	Containers int
	Running    int
	Images     int
	Driver     string
	// DriverStatus is what the storage driver says of itself: pairs of a key and a value, as Docker has them.
	DriverStatus [][2]string
	Host         []rootless.Finding
}

func (a *app) infoCommand() *cobra.Command {
	var format string
	var check bool
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Print what this host allows, and what to do about what it does not",
		Example: "  rcrun info\n  rcrun info --format json\n" +
			"  rcrun info --check   # only the host; fails if containers cannot run",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return checkHost()
			}
			return a.with(func(e *layered.Engine) error {
				info, err := collectInfo(e)
				if format != "" {
					return errors.Join(printRows([]hostInfo{info}, format, nil), err)
				}
				printInfo(info)
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	cmd.Flags().BoolVar(&check, "check", false, "only check the host, and fail if containers cannot run on it")
	return cmd
}

// collectInfo finds out what it can; the error says what is missing from it.
func collectInfo(e *layered.Engine) (hostInfo, error) {
	info := hostInfo{Version: version, Arch: runtime.GOARCH, DataDir: e.Dirs.Data, RunDir: e.Dirs.Run, Host: rootless.CheckHost()}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		info.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	list, _, err := e.Containers()
	if err != nil {
		return info, err
	}
	info.Containers = len(list)
	for _, c := range list {
		if c.State.Status == engine.Running {
			info.Running++
		}
	}
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
	fmt.Printf("Version:        %s\nKernel:         %s (%s)\nData directory: %s\nRun directory:  %s\nContainers:     %d (%d running)\nImages:         %d\nStorage driver: %s\n",
		info.Version, info.Kernel, info.Arch, info.DataDir, info.RunDir, info.Containers, info.Running, info.Images, info.Driver)
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
