package layered

import (
	"io"

	"github.com/rcrun/rcrun/engine"
)

// EraseMain is the stage engine.EraseStage.
func EraseMain() int {
	return engine.EraseMain(func(dirs engine.Dirs) (*engine.Engine, io.Closer, error) {
		e, err := New(dirs, nil)
		if err != nil {
			return nil, nil, err
		}
		return e.Containers, e, nil
	})
}
