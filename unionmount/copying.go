package unionmount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

// copying is a copy-up under way. Meta of the node is held, and entries of the directory of the name.
type copying struct {
	u    *Union
	n    *Node
	at   *link // the name that the copy gets; nil for none
	want content

	d     *draft
	data  *fdcache.Handle // open data of the lower file, where it will be copied; may be nil
	shown unix.Stat_t     // attributes of the file that shows, before it is read
	group *workdir.Group  // nil without other names
}

// copyTo makes the copy of n and publishes it at a name, if one is given. Meta of n is held, and entries of the
// name's directory.
//
// The order of the steps is what makes a crash or an error between any two of them harmless:
//
//  1. Room for the copy is promised, but for its data. It is settled at the end, however that ends.
//  2. Data that will be copied is opened. All that follows reads the file through this descriptor.
//  3. The attributes of the lower file are read, before anything else is: reading sets the access time.
//  4. A draft is made in the work directory, with type, owner and mode.
//  5. The draft gets the data, or a reference to it.
//  6. The draft gets the xattrs, and then the mode once more, because writing drops suid and sgid.
//  7. The draft gets the inode number and the time of birth that the node shows, where it can have xattrs, and the
//     times.
//  8. The draft of a file with several names is put into the index, where lookups of the other names find it.
//  9. The number of subdirectories of a directory is noted, while the lower one alone counts.
//  10. The origin of a draft without xattrs is noted in the index, before the copy has a name.
//  11. The draft is renamed to its name: from here on the copy is what a crash leaves. The directory keeps its times.
//  12. The node takes the copy for its file, and the index counts one name less that only the lower has.
func (u *Union) copyTo(n *Node, at *link, want content) error {
	c := copying{u: u, n: n, at: at, want: want}
	g, err := c.reserve() // 1
	if err != nil {
		return err
	}
	defer g.Release()
	c.d = u.newDraft()
	defer c.settle()
	defer c.d.discard()
	defer c.openData()()                             // 2
	if c.shown, err = u.statBacking(n); err != nil { // 3
		return err
	}
	if err := c.draw(); err != nil { // 4 to 7
		return err
	}
	if err := c.join(); err != nil { // 8
		return err
	}
	if err := c.countSubdirs(); err != nil { // 9
		return err
	}
	if err := c.publish(); err != nil { // 10 and 11
		return err
	}
	return c.finish() // 12
}

// reserve reserves room for the copy, but for its data. No removal is refused for lack of room.
func (c *copying) reserve() (quota.Grant, error) {
	if c.want == contentToRemove {
		return quota.Grant{}, nil
	}
	return c.u.quota.ReserveFile()
}

// settle charges what the copy takes, if there is one.
func (c *copying) settle() {
	if !c.n.inUpper.Load() {
		c.n.account.Abandon()
		return
	}
	c.u.settleAll(c.n)
	if c.at != nil {
		c.u.settleAll(c.at.parent)
	}
}

// openData opens the data if it is known that it will be copied. Then backing finds this descriptor for everything that
// is read of the file, and opens no second one. If opening fails, copyData tries again, and reports the error.
func (c *copying) openData() (release func()) {
	if !c.copiesData() {
		return func() {}
	}
	data, err := c.u.data(c.n)
	if err != nil {
		return func() {}
	}
	c.data = data
	return func() { c.u.fds.Release(data) }
}

// copiesData tells whether it is known that the data will be copied.
func (c *copying) copiesData() bool {
	n, upper := c.n, c.u.upper
	if n.kind != unix.S_IFREG || n.foreign != nil || c.want == contentNone {
		return false
	}
	if c.want == contentOwn {
		return true
	}
	return upper.HostOwned && upper.Refer(layer.Locations(n.lowers[n.dataSlot():]), false) == nil
}

// draw makes the draft: type, owner, mode, data, xattrs, times and the inode number to be shown.
func (c *copying) draw() error {
	u, n, d := c.u, c.n, c.d
	target, err := u.linkTarget(n)
	if err != nil {
		return err
	}
	mode := u.upper.Copied(n.stat)
	if err := d.makeAs(mode, n.stat, target); err != nil {
		return err
	}
	if n.foreign == nil {
		if err := c.drawContent(); err != nil {
			return err
		}
		if err := c.drawXattrs(); err != nil {
			return err
		}
		if err := d.keepPerm(mode); err != nil {
			return err
		}
	}
	if encoding.CarriesXattrs(mode) {
		if err := u.setOrigin(n, d.fd); err != nil {
			return err
		}
	}
	return sys.SetTimes(d.fd, c.shown.Atim, c.shown.Mtim)
}

// drawContent gives the draft the content that is wanted.
func (c *copying) drawContent() error {
	n := c.n
	if n.kind != unix.S_IFREG || c.want == contentNone {
		return nil
	}
	size := c.shown.Size
	if n.dataSlot() != n.firstSlot() || n.snapshot != nil { // what is noted is not what is there now
		st, err := c.u.statBelow(n)
		if err != nil {
			return err
		}
		size = st.Size
	}
	if c.want == contentOwn || size < c.u.upper.LeastBorrowed() {
		return c.copyData()
	}
	return c.refer(size)
}

// copyData copies the data into the draft.
func (c *copying) copyData() error {
	if c.data != nil {
		return c.u.copyDataFrom(c.n, c.data, c.d.fd)
	}
	return c.u.copyData(c.n, c.d.fd)
}

// refer lets the draft refer to the data of the lower file, or copies it where no reference can be noted: the path
// may be too long for an xattr.
func (c *copying) refer(size int64) error {
	u, n, d := c.u, c.n, c.d
	marks, err := u.marksTo(n.lowers[n.dataSlot():], false)
	if err != nil {
		return err
	}
	if len(marks) == 0 {
		return c.copyData()
	}
	if err := u.setMarks(d.fd, marks); isTooLong(err) {
		return errors.Join(u.clearMarks(d.fd, false), c.copyData())
	} else if err != nil {
		return err
	}
	d.dataInLower = true
	return unix.Ftruncate(d.fd, size) // for programs that add up sizes and do not know the reference
}

// drawXattrs copies the xattrs that a container sees.
func (c *copying) drawXattrs() error {
	names, err := c.u.listXattr(c.n)
	if err != nil {
		return err
	}
	c.d.bare = len(names) == 0
	for _, name := range names {
		value, err := c.u.getXattr(c.n, name)
		if errors.Is(err, unix.ENODATA) {
			continue // in a host directory, it may just have been removed, or be hidden from the caller
		}
		if err != nil {
			return err
		}
		if err := c.d.giveXattr(name, value); err != nil {
			return err
		}
	}
	return nil
}

// join puts the draft of a file with several names into the index. It counts the name that is about to be published as
// one that only the lower has: after a crash, the count may be too high but not too low.
func (c *copying) join() (err error) {
	n := c.n
	if n.isDir() || n.foreign != nil || c.shown.Nlink < 2 {
		return nil
	}
	names := n.nlink(uint32(c.shown.Nlink))
	if !encoding.CarriesXattrs(c.u.upper.Copied(n.stat)) {
		c.group = &workdir.Group{Lower: n.lowerKey, Left: names, Fleeting: true}
		return nil
	}
	c.group, err = c.u.startGroup(n, c.d, names)
	return err
}

// leave takes the draft out of the index again, because it does not get its name.
func (c *copying) leave() {
	if g := c.group; g != nil && !g.Fleeting {
		unix.Unlinkat(c.u.work.Index, g.Lower.IndexName(), 0) // if it stays, it is a copy equal to the lower file
	}
}

// countSubdirs notes how many subdirectories a directory of one lower has, which is about to be merged with the draft.
// The upper has nothing in it that could change the number.
func (c *copying) countSubdirs() error {
	n := c.n
	if !n.isDir() || n.foreign != nil || len(n.lowers) != 1 {
		return nil
	}
	st, err := c.u.statBacking(n)
	if err == nil && st.Nlink >= 2 {
		n.subdirs.Store(int64(st.Nlink) - 1)
	}
	return err
}

// publish puts the draft at its name, if it gets one.
func (c *copying) publish() error {
	if c.at == nil {
		return nil
	}
	if err := c.noteOrigin(); err != nil {
		return err
	}
	err := c.u.publishCopy(c.d, *c.at)
	if err != nil {
		c.leave()
	}
	return err
}

// noteOrigin notes the origin of a draft that can have no xattrs.
func (c *copying) noteOrigin() (err error) {
	u, n, d := c.u, c.n, c.d
	if encoding.CarriesXattrs(u.upper.Copied(n.stat)) {
		return nil
	}
	made := workdir.Copy{Ino: d.st.Ino, From: workdir.Origin{Ino: n.ino}}
	if made.From.Born, err = u.birthHeld(n); err != nil {
		return err
	}
	if made.Born, err = sys.BirthOf(d.fd); err != nil {
		return err
	}
	return u.work.Origins.Note(made)
}

// finish has the node use the copy.
func (c *copying) finish() error {
	u, n := c.u, c.n
	u.switchToUpper(n, c.d, c.group, c.at == nil)
	u.copyUps.Add(1)
	if c.group == nil || c.at == nil {
		return nil
	}
	n.lacksNames.Store(u.upper.HostOwned)
	return u.dropName(n)
}
