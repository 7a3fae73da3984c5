package unionmount

import (
	"fmt"

	"github.com/rcrun/rcrun/internal/layerindex"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"golang.org/x/sys/unix"
)

// lowerSnapshot is what is known of a lower file of the store, which does not change.
type lowerSnapshot struct {
	unix.Stat_t
	// indexed says that the fields below are known, too.
	indexed bool
	target  string // of a symbolic link
	xattrs  []layerindex.Xattr
}

func newSnapshot(p *layer.Probed) *lowerSnapshot {
	s := &lowerSnapshot{Stat_t: p.Stat} // a copy, so that the whole lookup is not kept in memory
	if p.Entry != nil {
		s.indexed, s.target, s.xattrs = true, p.Entry.Target, p.Entry.Xattrs
	}
	return s
}

// known returns what the index says of a node without a file in the upper; nil if there is none. Meta of n is held.
func (n *Node) known() *lowerSnapshot {
	if n.inUpper.Load() || n.snapshot == nil || !n.snapshot.indexed {
		return nil
	}
	return n.snapshot
}

func (s *lowerSnapshot) xattr(name string) ([]byte, error) {
	for _, x := range s.xattrs {
		if x.Name == name {
			return []byte(x.Value), nil
		}
	}
	return nil, unix.ENODATA
}

func (s *lowerSnapshot) xattrNames() []string {
	var names []string
	for _, x := range s.xattrs {
		names = append(names, x.Name)
	}
	return names
}

// checkSnapshot returns ESTALE if an opened file is not the one that the index was made of.
func (n *Node) checkSnapshot(st *unix.Stat_t) error {
	// In a copy of the store inode numbers differ. Only a layer without xattrs survives that, because its index goes
	// by names.
	k := n.known()
	if k == nil {
		return nil
	}
	if st.Ino != k.Ino && !n.lowers[0].Layer.Plain || st.Size != k.Size || st.Mtim != k.Mtim {
		return fmt.Errorf("the file has been changed since its layer was made: %w", unix.ESTALE)
	}
	return nil
}
