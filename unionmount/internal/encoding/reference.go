package encoding

import "github.com/rcrun/rcrun/internal/layerfmt"

// Reference says where the lowers have what an entry of the upper does not hold itself: the data of a file, or the
// directories that are merged into a directory.
type Reference struct {
	Exact *layerfmt.Below // numbered layers, as in CallerOwned uppers; nil in others
	Path  string          // as layerfmt.OverlayRedirect; empty means the name of the entry
}

// Mark is one of the xattrs that note a reference.
type Mark struct{ Name, Value string }
