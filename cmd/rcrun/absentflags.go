package main

import "github.com/spf13/cobra"

// Reasons that several flags share.
const (
	noCgroup   = "it needs a cgroup, and rcrun makes none"
	noHealth   = "health checks are not run; 'rcrun exec' runs one by hand"
	noNames    = "containers do not see each other; publish ports with -p"
	ownNetwork = "every container has a network of its own, with the same address"
	noVolumes  = "there are no named volumes; mount a directory with -v /HOST/PATH:/PATH"
	noWindows  = "it is for Windows"
)

// absentFlags are the flags of Docker's run and create that are not here, and why, or what to do instead.
var absentFlags = map[string]string{
	"cpu-count":             noWindows,
	"cpu-percent":           noWindows,
	"device":                "mount the host's device with -v /dev/NAME:/dev/NAME, if you may open it",
	"device-cgroup-rule":    noCgroup,
	"gpus":                  "mount the host's devices and libraries with -v, if you may open them",
	"group-add":             "the groups of a user are those of /etc/group in the image",
	"health-cmd":            noHealth,
	"health-interval":       noHealth,
	"health-retries":        noHealth,
	"health-start-interval": noHealth,
	"health-start-period":   noHealth,
	"health-timeout":        noHealth,
	"io-maxbandwidth":       noWindows,
	"io-maxiops":            noWindows,
	"ip":                    ownNetwork,
	"ip6":                   ownNetwork,
	"link":                  noNames,
	"link-local-ip":         ownNetwork,
	"log-opt":               "the log is bounded at 64 MiB, and as much of what came before",
	"mac-address":           ownNetwork,
	"mount":                 "use -v for a directory of the host and --tmpfs for memory",
	"network-alias":         noNames,
	"oom-score-adj":         "processes have that of rcrun's caller; see choom(1)",
	"pid":                   "every container has process ids of its own",
	"runtime":               "rcrun has one runtime, its own",
	"sysctl":                "a container has the kernel's values; with --privileged it can set its namespaces' own",
	"use-api-socket":        "there is no daemon, so its API has no socket",
	"uts":                   "every container has a host name of its own; see --hostname",
	"volume-driver":         noVolumes,
	"volumes-from":          noVolumes,
}

// absentFlag returns what to say of a flag of Docker's that a command does not have.
func absentFlag(cmd *cobra.Command, name string) (text string, known bool) {
	if cmd.Name() != "run" && cmd.Name() != "create" {
		return "", false
	}
	text, known = absentFlags[name]
	return text, known
}
