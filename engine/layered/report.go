package layered

import (
	"maps"
	"strconv"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/layers"
	"go.podman.io/image/v5/docker/reference"
)

// The events of images, in Docker's form: the actor of a transfer is the name that is transferred, and that of all
// other events the id of the image. A name stands as people write it.

// report writes an event of an image. Labels are those of the image, nil where it is gone.
func (e *Engine) report(action api.Action, actor, name string, labels map[string]string) {
	attributes := map[string]string{}
	maps.Copy(attributes, labels)
	attributes["name"] = name
	e.Containers.Events().Record(api.ImageEventType, action, api.Actor{ID: actor, Attributes: attributes})
}

// reportImage writes an event of which Docker names the image by its id alone.
func (e *Engine) reportImage(action api.Action, image *layers.Image) {
	e.report(action, idOf(image.ID), idOf(image.ID), labelsOf(image))
}

// reportTransfer writes that an image was pulled or pushed under a name.
func (e *Engine) reportTransfer(action api.Action, name string, image *layers.Image) {
	e.report(action, name, withoutVersion(name), labelsOf(image))
}

// reportNames writes that an image has got names.
func (e *Engine) reportNames(image *layers.Image, names ...string) {
	for _, name := range names {
		e.report(api.ActionTag, idOf(image.ID), withTag(name), labelsOf(image))
	}
}

// reportRemovals writes which names images have lost, and which images are gone. Layers have no events.
func (e *Engine) reportRemovals(removed []layers.Removal) {
	for _, r := range removed {
		switch {
		case r.Untagged != "":
			e.report(api.ActionUnTag, idOf(r.Image), r.Untagged, nil)
		case r.Deleted == idOf(r.Image):
			e.report(api.ActionDelete, r.Deleted, r.Deleted, nil)
		}
	}
}

// reportPruned writes that things of a kind were pruned, and how many bytes are free now.
func (e *Engine) reportPruned(kind api.Type, space int64) {
	e.Containers.Events().Record(kind, api.ActionPrune, api.Actor{
		Attributes: map[string]string{"reclaimed": strconv.FormatInt(space, 10)}})
}

func idOf(id string) string { return "sha256:" + id }

// labelsOf returns the labels of an image; nil is one that could not be found.
func labelsOf(image *layers.Image) map[string]string {
	if image == nil {
		return nil
	}
	return image.Config.Config.Labels
}

// withTag returns a name as people write it, with the tag that it stands for.
func withTag(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(reference.TagNameOnly(ref))
}

// withoutVersion returns a name as people write it, without tag and digest.
func withoutVersion(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarName(ref)
}
