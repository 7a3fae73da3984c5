package main

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine"
)

// allLabels joins files and flags, in this order; of a label given twice the last value holds.
func (f *containerFlags) allLabels() (map[string]string, error) {
	var lines []string
	for _, path := range f.labelFiles {
		read, err := readLines("label file", path)
		if err != nil {
			return nil, err
		}
		lines = append(lines, read...)
	}
	return keyValues(append(lines, f.labels...)), nil
}

// exposedPorts reads ports such as 80, 8000-8010 or 53/udp.
func exposedPorts(flags []string) (network.PortSet, error) {
	ports := network.PortSet{}
	for _, flag := range flags {
		if strings.Contains(flag, ":") {
			return nil, fmt.Errorf("invalid --expose %q: want a port of the container; -p publishes ports", flag)
		}
		list, err := engine.AppendPorts(nil, flag)
		if err != nil {
			return nil, fmt.Errorf("invalid --expose %q: %w", flag, err)
		}
		for _, port := range list {
			ports[port] = struct{}{}
		}
	}
	return ports, nil
}

// environment joins files and flags, in this order; of a name given twice the last value holds.
func environment(files, flags []string) ([]string, error) {
	var lines []string
	for _, path := range files {
		read, err := readLines("environment file", path)
		if err != nil {
			return nil, err
		}
		lines = append(lines, read...)
	}
	return resolveEnv(append(lines, flags...))
}

// resolveEnv gives names without a value the value they have here, and drops those that have none.
func resolveEnv(variables []string) ([]string, error) {
	var env []string
	position := map[string]int{}
	for _, variable := range variables {
		name, _, hasValue := strings.Cut(variable, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid environment variable %q", variable)
		}
		if !hasValue {
			value, known := os.LookupEnv(name)
			if !known {
				continue
			}
			variable = name + "=" + value
			if !utf8.ValidString(value) {
				return nil, notText("environment variable", variable)
			}
		}
		if at, twice := position[name]; twice {
			env[at] = variable
			continue
		}
		position[name] = len(env)
		env = append(env, variable)
	}
	return env, nil
}

// readLines reads lines NAME=VALUE or NAME of a kind of file; empty lines and those that start with # are left out.
func readLines(kind, path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		line := strings.TrimLeft(scanner.Text(), " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !utf8.ValidString(line) {
			return nil, fmt.Errorf("read %s %s: %w", kind, path, notText("line", line))
		}
		if name, _, _ := strings.Cut(line, "="); strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("read %s %s: name %q contains white space", kind, path, name)
		}
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, path, err)
	}
	return lines, nil
}

// absoluteSources completes host paths that start with a dot.
func absoluteSources(volumes []string) ([]string, error) {
	all := slices.Clone(volumes)
	for i, volume := range all {
		source, rest, _ := strings.Cut(volume, ":")
		if source != "." && source != ".." && !strings.HasPrefix(source, "./") && !strings.HasPrefix(source, "../") {
			continue
		}
		abs, err := filepath.Abs(source)
		if err != nil {
			return nil, fmt.Errorf("find the source of volume %s: %w", volume, err)
		}
		if !utf8.ValidString(abs) {
			return nil, notText("directory", abs)
		}
		all[i] = abs + ":" + rest
	}
	return all, nil
}

func keyValues(flags []string) map[string]string {
	values := map[string]string{}
	for _, flag := range flags {
		key, value, _ := strings.Cut(flag, "=")
		values[key] = value
	}
	return values
}

// tmpfsOptions splits /path[:options].
func tmpfsOptions(flags []string) map[string]string {
	if len(flags) == 0 {
		return nil
	}
	mounts := map[string]string{}
	for _, flag := range flags {
		path, options, _ := strings.Cut(flag, ":")
		mounts[path] = options
	}
	return mounts
}

// nameServers reads the addresses of name servers.
func nameServers(flags []string) (servers []netip.Addr, err error) {
	for _, flag := range flags {
		server, err := netip.ParseAddr(flag)
		if err != nil {
			return nil, fmt.Errorf("invalid name server %q: want an IP address", flag)
		}
		servers = append(servers, server)
	}
	return servers, nil
}
