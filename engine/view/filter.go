package view

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/fault"
)

// Filter selects containers. Values of one key are alternatives; keys must all match, and so must all labels. The zero
// value takes every container.
type Filter struct {
	id, name                                  []*regexp.Regexp
	status, ancestor, network, volume, health []string
	published, exposed                        []network.Port
	exited                                    []int
	task                                      []bool
	labels                                    []string
	before, since                             string // a container's name or id

	olderThan, newerThan time.Time // what before and since stand for
}

// FilterKeys are the keys that Filter.Add takes.
var FilterKeys = []string{"ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name",
	"network", "publish", "since", "status", "volume"}

// The values of keys that have a fixed set of them. Nothing brings a container into the states paused and restarting
// yet.
var (
	FilterStates = []string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}
	FilterHealth = []string{"starting", "healthy", "unhealthy", "none"}
)

// Add adds a value of a key. The error is about the pair; it does not repeat it.
func (f *Filter) Add(key, value string) error {
	if !slices.Contains(FilterKeys, key) {
		return fault.Errorf(errdefs.ErrInvalidArgument, "known keys are %s", strings.Join(FilterKeys, ", "))
	}
	if err := f.add(key, value); err != nil {
		return fault.As(errdefs.ErrInvalidArgument, err)
	}
	return nil
}

func (f *Filter) add(key, value string) (err error) {
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
		f.status, err = appendKnown(f.status, value, FilterStates)
	case "health":
		f.health, err = appendKnown(f.health, value, FilterHealth)
	case "publish":
		f.published, err = engine.AppendPorts(f.published, value)
	case "expose":
		f.exposed, err = engine.AppendPorts(f.exposed, value)
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

// lookUp finds out when the containers were made that the filter names.
func (f *Filter) lookUp(ctx context.Context, e *layered.Engine) error {
	for _, other := range []struct {
		ref     string
		created *time.Time
	}{{f.before, &f.olderThan}, {f.since, &f.newerThan}} {
		if other.ref == "" {
			continue
		}
		c, err := e.Containers.Lookup(ctx, other.ref)
		if err != nil {
			return err
		}
		*other.created = c.Created
	}
	return ctx.Err()
}

func (f *Filter) matches(c *engine.Container) bool {
	return f.matchesState(c) &&
		anyOf(f.id, func(p *regexp.Regexp) bool { return p.MatchString(c.ID) }) &&
		anyOf(f.name, func(p *regexp.Regexp) bool { return p.MatchString(c.Name) || p.MatchString("/"+c.Name) }) &&
		anyOf(f.ancestor, func(v string) bool { return descends(c, v) }) &&
		anyOf(f.network, c.HasNetwork) &&
		anyOf(f.volume, func(v string) bool { return hasVolume(c, v) }) &&
		f.matchesPorts(c) &&
		(f.olderThan.IsZero() || c.Created.Before(f.olderThan)) &&
		(f.newerThan.IsZero() || c.Created.After(f.newerThan)) &&
		!slices.ContainsFunc(f.labels, func(v string) bool { return !c.HasLabel(v) })
}

// matchesState looks at what the container is doing.
func (f *Filter) matchesState(c *engine.Container) bool {
	return anyOf(f.status, func(v string) bool { return string(c.State.Status) == v }) &&
		anyOf(f.health, func(v string) bool { return v == "none" }) && // health checks are not run
		anyOf(f.task, func(v bool) bool { return !v }) &&
		anyOf(f.exited, func(v int) bool { return c.State.Status == engine.Exited && c.State.ExitCode == v })
}

// descends tells whether a container was made of the image of a name or id.
func descends(c *engine.Container, image string) bool {
	return c.ImageName == image || c.ImageName == image+":latest" ||
		strings.HasPrefix(c.ImageID, strings.TrimPrefix(image, "sha256:"))
}

// matchesPorts tells whether the container has one of the ports: of the host's where it is published, of its own where
// it is exposed.
func (f *Filter) matchesPorts(c *engine.Container) bool {
	if len(f.published)+len(f.exposed) == 0 {
		return true
	}
	if !c.State.Status.Up() {
		return false
	}
	for port := range c.Config.ExposedPorts {
		if slices.Contains(f.exposed, port) {
			return true
		}
	}
	for port, bindings := range c.State.Ports {
		for _, b := range bindings {
			public, err := network.ParsePort(b.HostPort + "/" + string(port.Proto()))
			if slices.Contains(f.exposed, port) || err == nil && slices.Contains(f.published, public) {
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

// hasVolume tells whether something is mounted from or at a path.
func hasVolume(c *engine.Container, path string) bool {
	mounts, err := c.Mounts()
	isAt := func(m container.MountPoint) bool { return m.Source == path || m.Destination == path }
	return err == nil && slices.ContainsFunc(mounts, isAt)
}
