package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/rcrun/rcrun/rootless"
	"github.com/spf13/cobra"
)

func (a *app) infoCommand() *cobra.Command {
	var format string
	var check bool
	cmd := &cobra.Command{
		Annotations: usesStore(storeReported),
		Use:         "info",
		Short:       "Print what this host allows, and the command that adds what is missing",
		Example: "  rcrun info\n  rcrun info --format json\n" +
			"  rcrun info --check   # only the host; fails if containers cannot run",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return checkHost()
			}
			e, err := a.engine()
			if err != nil {
				return errors.Join(printInfo(view.Host(version), format), err)
			}
			defer e.Close()
			info, err := view.Describe(cmd.Context(), e, version)
			return errors.Join(printInfo(info, format), err)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	cmd.Flags().BoolVar(&check, "check", false, "only check the host, and fail if containers cannot run on it")
	return cmd
}

// printInfo prints the object in a format, "" for people.
func printInfo(info view.Info, format string) error {
	switch format {
	case "":
		showInfo(info)
		return nil
	case "json":
		return printJSONLines([]view.Info{info})
	}
	return printObjects([]any{info}, format)
}

func showInfo(info view.Info) {
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
