//go:build embed_stage

package main

import _ "embed"

// embeddedStage is the program of cmd/rcrun/stage, which make build puts there. That it is there is for a build tag to
// say, so that a build by hand does not take in what is left of an older one.
//
//go:embed stage/program
var embeddedStage string
