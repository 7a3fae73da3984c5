package view

import (
	"context"
	"time"

	"github.com/moby/moby/api/types/image"
	"github.com/rcrun/rcrun/engine/layered"
)

// Step is a step of an image's history. Only the last one made has an id, that of the image: the images of the others
// are not here, and their id is "<missing>".
type Step struct {
	image.HistoryResponseItem
	// Made is when the step was made, which Docker's Created has in seconds; nil where the image does not say.
	Made *time.Time
}

// History returns the steps by which an image was made, the last first.
func History(ctx context.Context, e *layered.Engine, ref string) ([]Step, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	img, err := store.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for i, entry := range img.History() {
		step := Step{HistoryResponseItem: image.HistoryResponseItem{ID: "<missing>", CreatedBy: entry.CreatedBy,
			Comment: entry.Comment}, Made: entry.Created}
		if i == 0 {
			step.ID, step.Tags = imageRef(img.ID), img.RepoTags
		}
		if entry.Created != nil {
			step.Created = entry.Created.Unix()
		}
		if entry.Layer != nil {
			step.Size = entry.Layer.Size
		}
		steps = append(steps, step)
	}
	return steps, ctx.Err()
}
