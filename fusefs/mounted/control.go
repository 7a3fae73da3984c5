package mounted

import (
	"os"

	"github.com/rcrun/rcrun/fusefs"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/unionmount"
)

// Stage is the argv[0] that tells a program that it is a server.
const Stage = "rcrun-fuse"

// The messages between a server and its starter. While it serves, the server answers freeze with frozen, and is still
// until it gets thaw.
const (
	msgOpen   = "open"   // Request
	msgReady  = "ready"  // nothing
	msgServe  = "serve"  // nothing, the connection
	msgFreeze = "freeze" // nothing
	msgFrozen = "frozen" // nothing
	msgThaw   = "thaw"   // nothing
)

// Request describes a union to its server, and how the server serves it.
type Request struct {
	Union      unionmount.Options `json:"Stack"`
	UIDs, GIDs idmap.Ranges       // that the mount's user namespace maps
	HostRoot   bool               // as in fusefs.Options
	Target     string             // where it is mounted, unless in a container
	Debug      bool

	SquashUID, SquashGID *uint32 // as fusefs.Options has them
	NoACL, NoXattrs      bool
	AccessTimes          unionmount.AccessTimes
	fusefs.Tuning
}

// options are those of the server of the request.
func (r *Request) options(gate *fusefs.Gate) fusefs.Options {
	return fusefs.Options{Gate: gate, Anonymous: r.Target == "", Target: r.Target, UIDs: r.UIDs, GIDs: r.GIDs,
		HostRoot: r.HostRoot, SquashUID: r.SquashUID, SquashGID: r.SquashGID, NoACL: r.NoACL, NoXattrs: r.NoXattrs,
		AccessTimes: r.AccessTimes, Tuning: r.Tuning, Debug: r.Debug}
}

// Control is the socket to a server, as its starter has it.
type Control struct{ *wire.Conn }

// Open has the server open a union. It does not wait for that.
func (c Control) Open(r Request) error { return c.Send(msgOpen, r) }

// Ready returns when the union is open.
func (c Control) Ready() error {
	_, err := c.Expect(msgReady, nil, 0)
	return err
}

// Serve hands the FUSE connection over. The caller then closes its own descriptor.
func (c Control) Serve(dev *os.File) error { return c.Send(msgServe, nil, dev) }

// Freeze has the server hold up all changes, and returns when none is under way.
func (c Control) Freeze() error {
	if err := c.Send(msgFreeze, nil); err != nil {
		return err
	}
	_, err := c.Expect(msgFrozen, nil, 0)
	return err
}

// Thaw ends what Freeze began.
func (c Control) Thaw() error { return c.Send(msgThaw, nil) }
