// Package layer reads one tree of a union: what it has at a name, and what that means.
//
// All reading of trees goes through Layer.Probe, or through the index of the layer, which answers instead of the
// disk. So this package alone knows whiteouts, opaque marks, override metadata, references and mount points. Which of
// several layers shows is not decided here, but by layerfmt.Merge and the callers.
//
// A Place is a file in a lower. Lower files do not move, so a place stays valid.
package layer
