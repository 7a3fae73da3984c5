package fusefs

import (
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/rcrun/rcrun/unionmount"
)

// GetXAttr answers GETXATTR. A buffer that is too small, as is the one of length 0 that asks for the size, is ERANGE
// with the size; go-fuse makes of it what the kernel expects.
func (s *server) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, buf []byte) (uint32, fuse.Status) {
	if isOwn(in.NodeId, name) {
		return s.getOwn(name, buf)
	}
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return 0, code
	}
	value, err := s.union.GetXattr(n, name)
	if err != nil {
		return 0, s.status("getxattr", err)
	}
	return fit(buf, value)
}

// ListXAttr answers LISTXATTR.
func (s *server) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, buf []byte) (uint32, fuse.Status) {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return 0, code
	}
	names, err := s.union.ListXattr(n)
	if err != nil {
		return 0, s.status("listxattr", err)
	}
	var list strings.Builder
	for _, name := range names {
		list.WriteString(name)
		list.WriteByte(0)
	}
	return fit(buf, []byte(list.String()))
}

func fit(buf, data []byte) (uint32, fuse.Status) {
	if len(data) > len(buf) {
		return uint32(len(data)), fuse.ERANGE
	}
	return uint32(copy(buf, data)), fuse.OK
}

// SetXAttr answers SETXATTR.
func (s *server) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	if s.noXattrs {
		return fuse.ENOSYS // which the kernel remembers, and makes EOPNOTSUPP for the caller
	}
	if isOwn(in.NodeId, name) {
		return fuse.EPERM
	}
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	flags := int(in.Flags)
	if in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0 {
		flags |= unionmount.XattrKillSgid
	}
	return s.status("setxattr", s.union.SetXattr(n, name, value, flags))
}

// RemoveXAttr answers REMOVEXATTR.
func (s *server) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if isOwn(in.NodeId, name) {
		return fuse.EPERM
	}
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	return s.status("removexattr", s.union.RemoveXattr(n, name))
}
