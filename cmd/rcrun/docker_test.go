package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// dockerFlags are the flags of Docker's commands (version 28.2), as their help lists them.
var dockerFlags = map[string]string{
	"run": "add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns " +
		"cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus " +
		"cpuset-mems detach detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps " +
		"device-write-iops disable-content-trust dns dns-option dns-search domainname entrypoint env env-file expose " +
		"gpus group-add health-cmd health-interval health-retries health-start-interval health-start-period " +
		"health-timeout help hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory " +
		"label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap " +
		"memory-swappiness mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid " +
		"pids-limit platform privileged publish publish-all pull quiet read-only restart rm runtime security-opt " +
		"shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user userns " +
		"uts " +
		"volume volume-driver volumes-from workdir",
	"create": "add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent " +
		"cgroupns cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus " +
		"cpuset-cpus cpuset-mems device device-cgroup-rule device-read-bps device-read-iops device-write-bps " +
		"device-write-iops disable-content-trust dns dns-option dns-search domainname entrypoint env env-file expose " +
		"gpus group-add health-cmd health-interval health-retries health-start-interval health-start-period " +
		"health-timeout help hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory " +
		"label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap " +
		"memory-swappiness mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid " +
		"pids-limit platform privileged publish publish-all pull quiet read-only restart rm runtime security-opt " +
		"shm-size stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user userns uts volume " +
		"volume-driver volumes-from workdir",
	"attach":          "detach-keys no-stdin sig-proxy",
	"commit":          "author change message pause",
	"diff":            "",
	"events":          "filter format since until",
	"exec":            "detach detach-keys env env-file interactive privileged tty user workdir",
	"history":         "format human no-trunc platform quiet",
	"images":          "all digests filter format no-trunc quiet tree",
	"import":          "change message platform",
	"info":            "format",
	"inspect":         "format size type",
	"kill":            "signal",
	"load":            "input platform quiet",
	"login":           "password password-stdin username",
	"logout":          "",
	"logs":            "details follow since tail timestamps until",
	"ps":              "all filter format last latest no-trunc quiet size",
	"pull":            "all-tags disable-content-trust platform quiet",
	"push":            "all-tags disable-content-trust platform quiet",
	"rm":              "force link volumes",
	"rmi":             "force no-prune platform",
	"save":            "output platform",
	"start":           "attach checkpoint checkpoint-dir detach-keys interactive",
	"stop":            "signal timeout",
	"version":         "format",
	"wait":            "",
	"system df":       "format verbose",
	"system events":   "filter format since until",
	"system prune":    "all filter force volumes",
	"image prune":     "all filter force",
	"container prune": "filter force",
	"container ls":    "all filter format last latest no-trunc quiet size",
	"image ls":        "all digests filter format no-trunc quiet tree",
	"image inspect":   "format platform",
}

// missingFlags reads the table of docs/docker.md of flags that commands do not have: lines like
// "| `ps`, `rm` | `--one`, `--two` |".
func missingFlags(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/docker.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Flags of Docker that are not there\n")
	if !found {
		t.Fatal("docs/docker.md does not say which flags are missing")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	missing := map[string]bool{}
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		for _, command := range quoted.FindAllStringSubmatch(cells[1], -1) {
			for _, flag := range quoted.FindAllStringSubmatch(cells[2], -1) {
				missing[command[1]+" "+flag[1]] = true
			}
		}
	}
	return missing
}

// TestFlagsOfDocker compares the flags of commands with Docker's: each is there, or docs/docker.md says that it is not.
func TestFlagsOfDocker(t *testing.T) {
	missing := missingFlags(t)
	root := (&app{}).rootCommand()
	for path, flags := range dockerFlags {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			t.Errorf("there is no command %q", path)
			continue
		}
		for name := range strings.FieldsSeq(flags) {
			there, named := name == "help" || cmd.Flags().Lookup(name) != nil, missing[path+" --"+name]
			if there == named {
				t.Errorf("%s --%s: it is there: %v; docs/docker.md says that it is missing: %v", path, name, there,
					named)
			}
			delete(missing, path+" --"+name)
			if _, said := absentFlag(cmd, name); path == "run" && said == there {
				t.Errorf("%s --%s: it is there: %v; something is said instead: %v", path, name, there, said)
			}
		}
	}
	for flag := range missing {
		t.Errorf("docs/docker.md says that %s is missing, which Docker has not", flag)
	}
}

// TestDocumentedCommands compares the first table of docs/docker.md, of the commands that exist and those that do not,
// with the commands.
func TestDocumentedCommands(t *testing.T) {
	text, err := os.ReadFile("../../docs/docker.md")
	if err != nil {
		t.Fatal(err)
	}
	root, found := (&app{}).rootCommand(), 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Contains(cells[1], "`") { // a row about flags
			continue
		}
		for column, want := range map[int]bool{2: true, 3: false} {
			for _, command := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[column], -1) {
				found++
				_, rest, err := root.Find(strings.Fields(command[1]))
				if there := err == nil && len(rest) == 0; there != want {
					t.Errorf("%s: it is there: %v; docs/docker.md says %v", command[1], there, want)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("docs/docker.md names %d commands only", found)
	}
}

// TestCommandsOfDocker looks for Docker's commands: each is there, or an error says what to do instead.
func TestCommandsOfDocker(t *testing.T) {
	root := (&app{}).rootCommand()
	for name := range strings.FieldsSeq("attach build builder buildx checkpoint commit compose config container " +
		"context cp create diff events exec export " +
		"history image images import info inspect kill load login logout logs manifest network node pause plugin " +
		"port ps pull push rename " +
		"restart rm rmi run save search secret service stack start stats stop swarm system tag top trust unpause " +
		"update version volume wait") {
		cmd, _, err := root.Find([]string{name})
		there := err == nil && cmd != root
		if _, known := absent(name); known == there {
			t.Errorf("%s: it is there: %v; something is said instead: %v", name, there, known)
		}
	}
}
