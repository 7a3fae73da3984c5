//go:build !embed_stage

package main

// embeddedStage is not there: this binary executes itself for its stages.
const embeddedStage = ""
