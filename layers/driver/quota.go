package driver

import (
	"errors"
	"fmt"
	"os"

	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/strictjson"
)

// writeQuota notes the limit of a layer, if it has one.
func (l Layout) writeQuota(id string, q layerfmt.Quota) error {
	if q == (layerfmt.Quota{}) {
		return nil
	}
	return atomicfile.WriteJSON(l.quotaFile(id), q)
}

// quota reads the limit of a layer.
func (l Layout) quota(id string) (q layerfmt.Quota, err error) {
	text, err := os.ReadFile(l.quotaFile(id))
	if errors.Is(err, os.ErrNotExist) {
		return layerfmt.Quota{}, nil
	}
	if err == nil {
		err = strictjson.Decode(text, &q) // a limit that is not known here cannot be kept
	}
	if err != nil {
		return layerfmt.Quota{}, fmt.Errorf("read the limit of layer %s: %w", id, err)
	}
	return q, nil
}
