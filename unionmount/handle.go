package unionmount

import "golang.org/x/sys/unix"

// LookupAgain counts one more lookup of a node that is known, and returns its attributes.
func (u *Union) LookupAgain(n *Node) (*Node, Attr, error) {
	a, err := u.Getattr(n)
	if err != nil {
		return nil, Attr{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	n.lookups++
	u.byID[n.id] = n
	return n, a, nil
}

// LookupParent returns the directory that a node is in, looked up once more: of a file with several names any of them.
// ESTALE of what has none.
func (u *Union) LookupParent(n *Node) (*Node, Attr, error) {
	l, named := u.anyLink(n)
	if !named {
		return nil, Attr{}, unix.ESTALE
	}
	return u.LookupAgain(l.parent)
}
