package fusefs

import "github.com/hanwen/go-fuse/v2/fuse"

// answers are the methods of fuse.RawFileSystem that server has of its own, so that a change of go-fuse's signatures
// is an error here and not a silent ENOSYS of the embedded default. Methods that are not among them answer ENOSYS:
//
//	Access                     the kernel checks permissions (default_permissions) and does not ask
//	GetLk, SetLk, SetLkw       not negotiated: the kernel keeps locks by itself
//	Release, ReleaseDir        nothing is opened; only after TMPFILE are they sent
//	Writev                     go-fuse falls back on Write, data being in one piece
//	Init, OnUnmount, SetDebug  nothing to do
type answers interface {
	String() string
	Lookup(<-chan struct{}, *fuse.InHeader, string, *fuse.EntryOut) fuse.Status
	Forget(uint64, uint64)
	GetAttr(<-chan struct{}, *fuse.GetAttrIn, *fuse.AttrOut) fuse.Status
	SetAttr(<-chan struct{}, *fuse.SetAttrIn, *fuse.AttrOut) fuse.Status
	Mknod(<-chan struct{}, *fuse.MknodIn, string, *fuse.EntryOut) fuse.Status
	Mkdir(<-chan struct{}, *fuse.MkdirIn, string, *fuse.EntryOut) fuse.Status
	Unlink(<-chan struct{}, *fuse.InHeader, string) fuse.Status
	Rmdir(<-chan struct{}, *fuse.InHeader, string) fuse.Status
	Rename(<-chan struct{}, *fuse.RenameIn, string, string) fuse.Status
	Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status
	Symlink(<-chan struct{}, *fuse.InHeader, string, string, *fuse.EntryOut) fuse.Status
	Readlink(<-chan struct{}, *fuse.InHeader) ([]byte, fuse.Status)
	GetXAttr(<-chan struct{}, *fuse.InHeader, string, []byte) (uint32, fuse.Status)
	ListXAttr(<-chan struct{}, *fuse.InHeader, []byte) (uint32, fuse.Status)
	SetXAttr(<-chan struct{}, *fuse.SetXAttrIn, string, []byte) fuse.Status
	RemoveXAttr(<-chan struct{}, *fuse.InHeader, string) fuse.Status
	Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status
	OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status
	Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status
	Create(<-chan struct{}, *fuse.CreateIn, string, *fuse.CreateOut) fuse.Status
	Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status
	Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status
	Read(<-chan struct{}, *fuse.ReadIn, []byte) (fuse.ReadResult, fuse.Status)
	Write(<-chan struct{}, *fuse.WriteIn, []byte) (uint32, fuse.Status)
	Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status
	CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status)
	Fallocate(<-chan struct{}, *fuse.FallocateIn) fuse.Status
	Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status
	FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status
	ReadDir(<-chan struct{}, *fuse.ReadIn, *fuse.DirEntryList) fuse.Status
	ReadDirPlus(<-chan struct{}, *fuse.ReadIn, *fuse.DirEntryList) fuse.Status
	StatFs(<-chan struct{}, *fuse.InHeader, *fuse.StatfsOut) fuse.Status
	Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status
}

var (
	_ fuse.RawFileSystem = (*server)(nil)
	_ answers            = (*server)(nil)
)
