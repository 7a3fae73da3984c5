package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/engine"
)

// filter selects containers. Values of one key are alternatives; keys must all match, and so must all labels.
type filter struct {
	id, name, status, ancestor []string
	labels                     []string
}

// parseFilters reads key=value pairs.
func parseFilters(flags []string) (filter, error) {
	var f filter
	for _, flag := range flags {
		key, value, hasValue := strings.Cut(flag, "=")
		if !hasValue {
			return f, fmt.Errorf("invalid --filter %q: want key=value", flag)
		}
		switch key {
		case "id":
			f.id = append(f.id, value)
		case "name":
			f.name = append(f.name, strings.TrimPrefix(value, "/"))
		case "ancestor":
			f.ancestor = append(f.ancestor, value)
		case "label":
			f.labels = append(f.labels, value)
		case "status":
			known := []engine.Status{engine.Created, engine.Running, engine.Exited}
			if !slices.Contains(known, engine.Status(value)) {
				return f, fmt.Errorf("invalid --filter %q: a status is created, running or exited", flag)
			}
			f.status = append(f.status, value)
		default:
			return f, fmt.Errorf("invalid --filter %q: known keys are id, name, status, ancestor and label", flag)
		}
	}
	return f, nil
}

func (f filter) matches(c *engine.Container) bool {
	return anyOf(f.id, func(v string) bool { return strings.HasPrefix(c.ID, v) }) &&
		anyOf(f.name, func(v string) bool { return strings.Contains(c.Name, v) }) &&
		anyOf(f.status, func(v string) bool { return string(c.State.Status) == v }) &&
		anyOf(f.ancestor, func(v string) bool {
			return c.ImageName == v || c.ImageName == v+":latest" || strings.HasPrefix(c.ImageID, v)
		}) &&
		!slices.ContainsFunc(f.labels, func(v string) bool { return !hasLabel(c, v) })
}

// anyOf tells whether one of the values matches, or there are none.
func anyOf(values []string, matches func(string) bool) bool {
	return len(values) == 0 || slices.ContainsFunc(values, matches)
}

func hasLabel(c *engine.Container, label string) bool {
	key, want, hasValue := strings.Cut(label, "=")
	value, there := c.Config.Labels[key]
	return there && (!hasValue || value == want)
}
