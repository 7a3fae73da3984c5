package layered

import (
	"github.com/rcrun/rcrun/engine"
)

// EraseMain is the stage engine.EraseStage.
func EraseMain() int {
	return engine.EraseMain(func(dirs engine.Dirs) (*engine.Engine, error) {
		e, err := New(dirs, nil)
		if err != nil {
			return nil, err
		}
		return e.Engine, nil
	})
}
