package events

import (
	"encoding/json"
	"fmt"
	"maps"
	"unicode/utf8"

	"github.com/moby/moby/api/types/events"
)

const (
	// maxLine bounds an event in bytes: labels, and the arguments of a process that is executed, can be megabytes.
	maxLine = 64 << 10
	// maxAction is what is left of the action of an event that is too large.
	maxAction = 4 << 10
)

// encode returns the line of a message.
func encode(message events.Message) ([]byte, error) {
	for {
		text, err := json.Marshal(message)
		if err != nil {
			return nil, fmt.Errorf("write event: %w", err)
		}
		if len(text) < maxLine {
			return append(text, '\n'), nil
		}
		if !shrink(&message) {
			return nil, fmt.Errorf("write event %s %s: %d bytes are too many", message.Type, message.Action, len(text))
		}
	}
}

// shrink makes a message smaller, or returns false.
func shrink(message *events.Message) bool {
	if len(message.Action) > maxAction {
		end := maxAction
		for !utf8.RuneStart(message.Action[end]) {
			end--
		}
		message.Action = message.Action[:end]
		return true
	}
	longest, size := "", -1
	for key, value := range message.Actor.Attributes {
		if n := len(key) + len(value); n > size || n == size && key < longest {
			longest, size = key, n
		}
	}
	if size < 0 {
		return false
	}
	attributes := maps.Clone(message.Actor.Attributes) // the caller keeps its own
	delete(attributes, longest)
	message.Actor.Attributes = attributes
	return true
}

// decode reads a line; ok is false for one that is not an event.
func decode(line []byte) (message events.Message, ok bool) {
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &message) != nil {
		return message, false
	}
	return message, message.Type != "" && message.Action != "" && message.TimeNano != 0
}
