package encoding

import "github.com/rcrun/rcrun/internal/layerfmt"

// Reference says where the lowers have what an entry does not hold itself: the data of a file, or what is merged into a
// directory.
type Reference struct {
	Exact *layerfmt.Below // numbered layers, as CallerOwned uppers have it; nil in the others
	Path  string          // as layerfmt.OverlayRedirect; empty for the name that the entry has
}

// Mark is an xattr that makes, with others, a reference.
type Mark struct{ Name, Value string }
