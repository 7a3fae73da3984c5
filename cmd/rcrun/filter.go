package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/rootless"
)

// filter selects containers. Values of one key are alternatives; keys must all match, and so must all labels.
type filter struct {
	id, name                                  []*regexp.Regexp
	status, ancestor, network, volume, health []string
	published, exposed                        []string // ports as in 80/tcp
	exited                                    []int
	task                                      []bool
	labels                                    []string
	before, since                             string // a container's name or id

	olderThan, newerThan time.Time // what before and since stand for
}

// filterKeys are the filters of ps, for people and for the shell.
var filterKeys = []string{"ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name",
	"network", "publish", "since", "status", "volume"}

// The values of filters that have a fixed set of them. No container is ever in some of these states.
var (
	filterStates = []string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}
	filterHealth = []string{"starting", "healthy", "unhealthy", "none"}
)

// parseFilters reads key=value pairs.
func parseFilters(flags []string) (filter, error) {
	var f filter
	for _, flag := range flags {
		key, value, hasValue := strings.Cut(flag, "=")
		if !hasValue {
			return f, fmt.Errorf("invalid --filter %q: want key=value", flag)
		}
		if !slices.Contains(filterKeys, key) {
			return f, fmt.Errorf("invalid --filter %q: known keys are %s", flag, strings.Join(filterKeys, ", "))
		}
		if err := f.add(key, value); err != nil {
			return f, fmt.Errorf("invalid --filter %q: %w", flag, err)
		}
	}
	return f, nil
}

// add takes one more value of a known key.
func (f *filter) add(key, value string) (err error) {
	switch key {
	case "id":
		f.id, err = appendPattern(f.id, value)
	case "name":
		f.name, err = appendPattern(f.name, value)
	case "ancestor":
		f.ancestor = append(f.ancestor, value)
	case "label":
		f.labels = append(f.labels, value)
	case "network":
		f.network = append(f.network, value)
	case "volume":
		f.volume = append(f.volume, value)
	case "before":
		f.before = value
	case "since":
		f.since = value
	case "status":
		f.status, err = appendKnown(f.status, value, filterStates)
	case "health":
		f.health, err = appendKnown(f.health, value, filterHealth)
	case "publish":
		f.published, err = appendPorts(f.published, value)
	case "expose":
		f.exposed, err = appendPorts(f.exposed, value)
	case "exited":
		f.exited, err = appendParsed(f.exited, value, strconv.Atoi, "want an exit code")
	case "is-task":
		f.task, err = appendParsed(f.task, value, strconv.ParseBool, "want true or false")
	}
	return err
}

func appendPattern(all []*regexp.Regexp, text string) ([]*regexp.Regexp, error) {
	pattern, err := regexp.Compile(text)
	return append(all, pattern), err
}

func appendKnown(all []string, value string, known []string) ([]string, error) {
	if !slices.Contains(known, value) {
		return nil, fmt.Errorf("want one of %s", strings.Join(known, ", "))
	}
	return append(all, value), nil
}

func appendParsed[V any](all []V, text string, parse func(string) (V, error), want string) ([]V, error) {
	value, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s", want)
	}
	return append(all, value), nil
}

// appendPorts adds the ports of a text such as 80, 8000-8010 or 53/udp.
func appendPorts(all []string, text string) ([]string, error) {
	mappings, err := rootless.ParsePort(text)
	for _, m := range mappings {
		all = append(all, fmt.Sprintf("%d/%s", m.ContainerPort, m.Protocol))
	}
	return all, err
}

// lookUp finds out when the containers were made that the filter names.
func (f *filter) lookUp(e *layered.Engine) error {
	for _, other := range []struct {
		ref     string
		created *time.Time
	}{{f.before, &f.olderThan}, {f.since, &f.newerThan}} {
		if other.ref == "" {
			continue
		}
		c, err := e.Lookup(other.ref)
		if err != nil {
			return err
		}
		*other.created = c.Created
	}
	return nil
}

func (f *filter) matches(c *engine.Container) bool {
	return anyOf(f.id, func(p *regexp.Regexp) bool { return p.MatchString(c.ID) }) &&
		anyOf(f.name, func(p *regexp.Regexp) bool { return p.MatchString(c.Name) || p.MatchString("/"+c.Name) }) &&
		anyOf(f.status, func(v string) bool { return string(c.State.Status) == v }) &&
		anyOf(f.health, func(v string) bool { return v == "none" }) && // nobody asks for a container's health
		anyOf(f.task, func(v bool) bool { return !v }) &&
		anyOf(f.ancestor, func(v string) bool {
			return c.ImageName == v || c.ImageName == v+":latest" ||
				strings.HasPrefix(c.ImageID, strings.TrimPrefix(v, "sha256:"))
		}) &&
		anyOf(f.exited, func(v int) bool { return c.State.Status == engine.Exited && c.State.ExitCode == v }) &&
		anyOf(f.network, c.HasNetwork) &&
		anyOf(f.volume, func(v string) bool { return hasVolume(c, v) }) &&
		f.matchesPorts(c) &&
		(f.olderThan.IsZero() || c.Created.Before(f.olderThan)) &&
		(f.newerThan.IsZero() || c.Created.After(f.newerThan)) &&
		!slices.ContainsFunc(f.labels, func(v string) bool { return !hasLabel(c, v) })
}

// matchesPorts tells whether the container has one of the ports: of the host's where it is published, of its own where
// it is exposed.
func (f *filter) matchesPorts(c *engine.Container) bool {
	if len(f.published)+len(f.exposed) == 0 {
		return true
	}
	if c.State.Status != engine.Running {
		return false
	}
	for port := range c.Config.ExposedPorts {
		if slices.Contains(f.exposed, port) {
			return true
		}
	}
	for port, bindings := range c.State.Ports {
		_, protocol, _ := strings.Cut(port, "/")
		for _, b := range bindings {
			if slices.Contains(f.exposed, port) || slices.Contains(f.published, b.HostPort+"/"+protocol) {
				return true
			}
		}
	}
	return false
}

// anyOf tells whether one of the values matches, or there are none.
func anyOf[V any](values []V, matches func(V) bool) bool {
	return len(values) == 0 || slices.ContainsFunc(values, matches)
}

func hasLabel(c *engine.Container, label string) bool {
	key, want, hasValue := strings.Cut(label, "=")
	value, there := c.Config.Labels[key]
	return there && (!hasValue || value == want)
}

// hasVolume tells whether something is mounted from or at a path.
func hasVolume(c *engine.Container, path string) bool {
	mounts, err := c.Mounts()
	isAt := func(m engine.InspectMount) bool { return m.Source == path || m.Destination == path }
	return err == nil && slices.ContainsFunc(mounts, isAt)
}
