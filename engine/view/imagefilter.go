package view

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
)

// ImageFilterKeys are the keys that AddImageFilter takes, for the shell's completion; ImageFilterHelp is for people.
var ImageFilterKeys = []string{"before", "dangling", "label", "reference", "since", "until"}

// ImageFilterHelp lists the keys of AddImageFilter with their values.
const ImageFilterHelp = "dangling=BOOL, label=KEY[=VALUE], label!=KEY[=VALUE], before=IMAGE, since=IMAGE, " +
	"until=TIME, reference=PATTERN"

// AddImageFilter adds a value of a key to a filter. Of a key that is given several times, all labels must fit, and one
// of the references; of the others the last counts. The error is about the pair; it does not repeat it.
func AddImageFilter(f *layers.ImageFilter, key, value string) error {
	if err := addImageFilter(f, key, value); err != nil {
		return fault.As(errdefs.ErrInvalidArgument, err)
	}
	return nil
}

func addImageFilter(f *layers.ImageFilter, key, value string) (err error) {
	switch key {
	case "dangling":
		dangling, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("want true or false")
		}
		f.Dangling = &dangling
	case "label":
		f.Labels = append(f.Labels, value)
	case "label!":
		f.NotLabels = append(f.NotLabels, value)
	case "before":
		f.Before = value
	case "since", "after":
		f.Since = value
	case "reference":
		f.References = append(f.References, value)
	case "until":
		f.Until, err = ParseTime(value, time.Now())
		return err
	default:
		return errors.New("known are " + ImageFilterHelp)
	}
	return nil
}

// AddPruneFilter adds a value of a key to a filter of what to prune, as AddImageFilter does.
func AddPruneFilter(f *layered.PruneFilter, key, value string) error {
	if !slices.Contains([]string{"until", "label", "label!", "dangling"}, key) {
		return fault.Errorf(errdefs.ErrInvalidArgument, "known are label, label! and until")
	}
	images := layers.ImageFilter{Labels: f.Labels, NotLabels: f.NotLabels, Until: f.Until, Dangling: f.Dangling}
	err := AddImageFilter(&images, key, value)
	f.Labels, f.NotLabels, f.Until, f.Dangling = images.Labels, images.NotLabels, images.Until, images.Dangling
	return err
}
