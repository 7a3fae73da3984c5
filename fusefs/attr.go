package fusefs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount"
)

// GetAttr answers GETATTR.
func (s *server) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	a, err := s.union.Getattr(n)
	if err != nil {
		return s.status("getattr", err)
	}
	s.fillAttrOut(out, &a)
	return fuse.OK
}

// Statx answers STATX, which the kernel sends when a program asks for a time of birth.
func (s *server) Statx(_ <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	a, err := s.union.Getattr(n)
	if err != nil {
		return s.status("statx", err)
	}
	born, err := s.union.Birth(n)
	if err != nil {
		return s.status("statx", err)
	}
	out.AttrValid, out.AttrValidNsec = s.leases.attr.seconds, s.leases.attr.nanoseconds
	out.Statx = fuse.Statx{
		Mask: unix.STATX_BASIC_STATS, Blksize: uint32(a.Blksize), Nlink: a.Nlink,
		Uid: s.uids.show(a.UID), Gid: s.gids.show(a.GID), Mode: uint16(a.Mode),
		Ino: a.Ino, Size: uint64(a.Size), Blocks: uint64(a.Blocks),
		Atime: sxTime(a.Atime), Mtime: sxTime(a.Mtime), Ctime: sxTime(a.Ctime),
		RdevMajor: unix.Major(a.Rdev), RdevMinor: unix.Minor(a.Rdev),
	}
	if born != (unix.Timespec{}) {
		out.Mask |= unix.STATX_BTIME
		out.Btime = sxTime(born)
	}
	return fuse.OK
}

func sxTime(t unix.Timespec) fuse.SxTime {
	return fuse.SxTime{Sec: uint64(t.Sec), Nsec: uint32(t.Nsec)}
}

// SetAttr answers SETATTR: chmod, chown, truncate and utimes.
func (s *server) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	a, err := s.union.Setattr(n, s.changes(in))
	if err != nil {
		return s.status("setattr", err)
	}
	s.fillAttrOut(out, &a)
	return fuse.OK
}

func (s *server) changes(in *fuse.SetAttrIn) unionmount.SetAttr {
	// A request that changes nothing comes from a chown(2) to the present owner, which drops suid and sgid all the
	// same. With the writeback cache the kernel keeps the times, and such a request names the ctime. The kernel also
	// sends it before a write; but then the WRITE itself says that it drops the bits. So from any caller but the
	// owner, the request is no reason to drop them. Otherwise any user could disarm a program that other users rely
	// on.
	nothing := in.Valid&^fuse.FATTR_CTIME == 0
	c := unionmount.SetAttr{KillPriv: nothing || in.Valid&fuse.FATTR_KILL_SUIDGID != 0, OwnerOnly: nothing,
		By: s.callerOf(&in.InHeader)}
	if mode, ok := in.GetMode(); ok {
		c.Mode = &mode
	}
	if uid, ok := in.GetUID(); ok {
		c.UID = &uid
	}
	if gid, ok := in.GetGID(); ok {
		c.GID = &gid
	}
	if size, ok := in.GetSize(); ok {
		signed := int64(size)
		c.Size = &signed
	}
	c.Atime = changedTime(in.Valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec)
	c.Mtime = changedTime(in.Valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec)
	return c
}

func changedTime(valid, set, now uint32, sec uint64, nsec uint32) *unix.Timespec {
	switch {
	case valid&now != 0:
		return &unix.Timespec{Nsec: unix.UTIME_NOW}
	case valid&set != 0:
		return &unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
	}
	return nil
}

func (s *server) fillAttrOut(out *fuse.AttrOut, a *unionmount.Attr) {
	out.AttrValid, out.AttrValidNsec = s.leases.attr.seconds, s.leases.attr.nanoseconds
	s.fillAttr(&out.Attr, a)
}

// fillEntry describes a node that was looked up.
func (s *server) fillEntry(out *fuse.EntryOut, n *unionmount.Node, a *unionmount.Attr) {
	out.NodeId = n.ID()
	if out.NodeId != fuse.FUSE_ROOT_ID { // for which the kernel wants 0
		out.Generation = 1 // ids are not used again
	}
	out.EntryValid, out.EntryValidNsec = s.leases.entry.seconds, s.leases.entry.nanoseconds
	out.AttrValid, out.AttrValidNsec = s.leases.attr.seconds, s.leases.attr.nanoseconds
	s.fillAttr(&out.Attr, a)
}

func (s *server) fillAttr(out *fuse.Attr, a *unionmount.Attr) {
	*out = fuse.Attr{
		Ino: a.Ino, Size: uint64(a.Size), Blocks: uint64(a.Blocks), Blksize: uint32(a.Blksize),
		Atime: uint64(a.Atime.Sec), Atimensec: uint32(a.Atime.Nsec),
		Mtime: uint64(a.Mtime.Sec), Mtimensec: uint32(a.Mtime.Nsec),
		Ctime: uint64(a.Ctime.Sec), Ctimensec: uint32(a.Ctime.Nsec),
		Mode: a.Mode, Nlink: a.Nlink, Owner: fuse.Owner{Uid: s.uids.show(a.UID), Gid: s.gids.show(a.GID)},
		Rdev: kernelDevice(a.Rdev),
	}
}

// kernelDevice encodes a device number in the 32 bits that the protocol has for it.
func kernelDevice(rdev uint64) uint32 {
	major, minor := unix.Major(rdev), unix.Minor(rdev)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

func fromKernelDevice(dev uint32) uint64 {
	return unix.Mkdev(dev>>8&0xfff, dev&0xff|dev>>12&0xfff00)
}
