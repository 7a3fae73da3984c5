package layers

import (
	"slices"
	"time"
)

// HistoryEntry is a step by which an image was made.
type HistoryEntry struct {
	Created   *time.Time // nil where the image does not say
	CreatedBy string
	Comment   string
	Layer     *Layer // that the step has added; nil where it has changed the configuration only
}

// History returns the steps by which the image was made, the last first. A layer that the configuration does not
// mention is a step without a description.
func (img *Image) History() []HistoryEntry {
	var steps []HistoryEntry
	layers := img.Layers
	for _, h := range img.Config.History {
		step := HistoryEntry{Created: h.Created, CreatedBy: h.CreatedBy, Comment: h.Comment}
		if !h.EmptyLayer && len(layers) > 0 {
			step.Layer, layers = &layers[0], layers[1:]
		}
		steps = append(steps, step)
	}
	for i := range layers {
		steps = append(steps, HistoryEntry{Layer: &layers[i]})
	}
	slices.Reverse(steps)
	return steps
}
