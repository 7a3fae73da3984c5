package driver

import (
	graphdriver "go.podman.io/storage/drivers"

	"github.com/rcrun/rcrun/layers/tree"
)

// Two interfaces of the library have methods with types from an internal package of the library, which a driver from
// outside cannot name. So these types are type parameters here, inferred from the interfaces themselves. This file can
// go when the library exports the types; until then a change of them shows as an error of the compiler here and nowhere
// else.

// staging unpacks layers while the store is not locked: it implements graphdriver.ApplyDiffStaging. A records where a
// staged layer is and can move it into place, C removes what is left over.
type staging[C ~func() error, A ~struct{ Path string }, P stagedLayer[A]] struct {
	layout Layout
	limits *tree.Limits
}

// stagedLayer is what the library calls to move a staged layer into place.
type stagedLayer[A any] interface {
	*A
	Commit(destination string) error
}

// newStager returns a staging that heeds limits, which may be set until it is used.
func newStager(l Layout, limits *tree.Limits) graphdriver.ApplyDiffStaging {
	return inferStaging(graphdriver.ApplyDiffStaging.StartStagingDiffToApply, l, limits)
}

// inferStaging makes a staging with the types of the method, which it does not call.
func inferStaging[C ~func() error, A ~struct{ Path string }, P stagedLayer[A]](
	_ func(graphdriver.ApplyDiffStaging, string, graphdriver.ApplyDiffOpts) (C, *A, int64, error),
	l Layout, limits *tree.Limits,
) staging[C, A, P] {
	return staging[C, A, P]{layout: l, limits: limits}
}

// removal is a driver of the library whose layers are removed by this package: the library's own removal holds a
// descriptor open for each level of a tree, and a container decides how many levels there are. C is the type of the
// function that ends a removal.
type removal[C ~func() error] struct {
	graphdriver.Driver
	layout Layout
}

// inferRemoval makes a removal with the types of the method, which it does not call.
func inferRemoval[C ~func() error](_ func(graphdriver.Driver, string) (C, error), d graphdriver.Driver,
	l Layout) removal[C] {
	return removal[C]{Driver: d, layout: l}
}
