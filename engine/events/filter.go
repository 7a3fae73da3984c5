package events

import (
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/internal/fault"
)

// Filter selects events in Docker's way: values of a key are alternatives, but an event must have all labels; and every
// key must match.
type Filter map[string][]string

// matchers are the rules of the keys: whether a message matches one value.
var matchers = map[string]func(message events.Message, value string) bool{
	"type":   func(m events.Message, value string) bool { return string(m.Type) == value },
	"scope":  func(m events.Message, value string) bool { return m.Scope == value },
	"event":  func(m events.Message, value string) bool { return string(m.Action) == value },
	"image":  matchesImage,
	"label":  matchesLabel,
	"config": matchesActor, "container": matchesActor, "daemon": matchesActor, "network": matchesActor,
	"node": matchesActor, "plugin": matchesActor, "secret": matchesActor, "service": matchesActor,
	"volume": matchesActor,
}

// FilterKeys are the keys that a filter may have, in the order of the alphabet.
func FilterKeys() []string { return slices.Sorted(maps.Keys(matchers)) }

// Add takes one more value of a key.
func (f Filter) Add(key, value string) error {
	if matchers[key] == nil {
		return fault.Errorf(errdefs.ErrInvalidArgument, "known keys are %s", strings.Join(FilterKeys(), ", "))
	}
	f[key] = append(f[key], value)
	return nil
}

// Matches tells whether the filter takes a message.
func (f Filter) Matches(message events.Message) bool {
	for key, values := range f {
		matches := matchers[key]
		if key == "event" && slices.ContainsFunc(values, isPrefix) {
			matches = matchesActionPrefix
		}
		is := func(value string) bool { return matches(message, value) }
		isNot := func(value string) bool { return !is(value) }
		switch {
		case matches == nil: // a key that Add has not seen
			return false
		case key == "label":
			if slices.ContainsFunc(values, isNot) {
				return false
			}
		case !slices.ContainsFunc(values, is):
			return false
		}
	}
	return true
}

// isPrefix tells whether the actions of this name go on with a colon and more. A filter that has one takes all of its
// values of "event" for prefixes.
func isPrefix(action string) bool {
	return action == "health_status" || action == "exec_create" || action == "exec_start"
}

func matchesActionPrefix(message events.Message, value string) bool {
	return strings.HasPrefix(string(message.Action), value)
}

// matchesActor compares with the start of the id or of the name, of an event of any type.
func matchesActor(message events.Message, value string) bool {
	return strings.HasPrefix(message.Actor.ID, value) || strings.HasPrefix(message.Actor.Attributes["name"], value)
}

// matchesImage compares with an image, or with that of a container, by name with or without the tag, or by id.
func matchesImage(message events.Message, value string) bool {
	name := message.Actor.Attributes["image"]
	if message.Type == events.ImageEventType {
		name = message.Actor.Attributes["name"]
	}
	id := message.Actor.ID
	return slices.Contains([]string{id, name, withoutTag(id), withoutTag(name)}, value)
}

// withoutTag takes the tag and the digest from the name of an image. An id stays as it is.
func withoutTag(name string) string {
	if strings.HasPrefix(name, "sha256:") {
		return name
	}
	name, _, _ = strings.Cut(name, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return name[:colon]
	}
	return name
}

// matchesLabel compares with KEY or KEY=VALUE. Docker keeps labels among the other attributes.
func matchesLabel(message events.Message, value string) bool {
	key, want, hasValue := strings.Cut(value, "=")
	got, there := message.Actor.Attributes[key]
	return there && (!hasValue || got == want)
}
