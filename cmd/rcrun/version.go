package main

import (
	"fmt"
	"runtime"

	"github.com/rcrun/rcrun/engine/view"
	"github.com/spf13/cobra"
)

// version is set when the binary is linked.
var version = "dev"

// versions is what version prints: Docker's object. Client and server are one program here, which has no API.
type versions struct {
	Client versionInfo
	Server versionInfo
}

type versionInfo struct {
	Platform      platform
	Version       string
	GoVersion     string
	Os            string
	Arch          string
	KernelVersion string `json:",omitempty"` // of the server
	Context       string `json:",omitempty"` // of the client
}

type platform struct{ Name string }

func currentVersions() versions {
	v := versionInfo{Platform: platform{"rcrun"}, Version: version, GoVersion: runtime.Version(),
		Os: runtime.GOOS, Arch: runtime.GOARCH}
	both := versions{v, v}
	both.Client.Context = "default"
	both.Server.KernelVersion = view.KernelVersion()
	return both
}

func (a *app) versionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Annotations: usesStore(storeUnused),
		Use:         "version",
		Short:       "Print the version",
		Example:     "  rcrun version --format '{{.Server.Version}}'",
		Args:        arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			v := currentVersions()
			switch format {
			case "":
				fmt.Printf("rcrun version %s (%s, %s/%s)\n",
					v.Client.Version, v.Client.GoVersion, v.Client.Os, v.Client.Arch)
				return nil
			case "json":
				return printJSONLines([]versions{v})
			}
			return printObjects([]any{v}, format)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	return cmd
}
