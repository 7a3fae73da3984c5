package fusefs

// opcodes bounds the opcodes of the requests that are known: all are below it.
const opcodes = 64

// The opcodes that are asked for by name (fuse_opcode in linux/fuse.h).
const (
	opLookup  = 1
	opGetAttr = 3
	opSetAttr = 4
	opRead    = 15
	opInit    = 26
)

// requestKind is what the server must know of a kind of request, besides how to answer it.
type requestKind struct {
	name    string // in the counters
	changes bool   // whether it may change the filesystem, so that a closed Gate holds it up
}

// requestKinds are the kinds of requests by opcode.
var requestKinds = [opcodes]requestKind{
	opLookup:  {"lookup", false},
	2:         {"forget", false},
	opGetAttr: {"getattr", false},
	opSetAttr: {"setattr", true},
	5:         {"readlink", false},
	6:         {"symlink", true},
	8:         {"mknod", true},
	9:         {"mkdir", true},
	10:        {"unlink", true},
	11:        {"rmdir", true},
	12:        {"rename", true},
	13:        {"link", true},
	14:        {"open", false},
	opRead:    {"read", false},
	16:        {"write", true},
	17:        {"statfs", false},
	18:        {"release", false},
	20:        {"fsync", false},
	21:        {"setxattr", true},
	22:        {"getxattr", false},
	23:        {"listxattr", false},
	24:        {"removexattr", true},
	25:        {"flush", false},
	opInit:    {"init", false},
	27:        {"opendir", false},
	28:        {"readdir", false},
	29:        {"releasedir", false},
	30:        {"fsyncdir", false},
	31:        {"getlk", false},
	32:        {"setlk", false},
	33:        {"setlkw", false},
	34:        {"access", false},
	35:        {"create", true},
	36:        {"interrupt", false},
	37:        {"bmap", false},
	38:        {"destroy", false},
	39:        {"ioctl", true}, // chattr(1) sets flags
	40:        {"poll", false},
	41:        {"notifyreply", false},
	42:        {"forget", false}, // BATCH_FORGET
	43:        {"fallocate", true},
	44:        {"readdirplus", false},
	45:        {"rename", true}, // RENAME2
	46:        {"lseek", false},
	47:        {"copyfilerange", true},
	50:        {"syncfs", false},
	51:        {"tmpfile", true},
	52:        {"statx", false},
	53:        {"copyfilerange", true}, // COPY_FILE_RANGE_64
}

// kindOther is the name of requests without one.
const kindOther = "other"

// mayChange tells whether a request may change the filesystem. One of an unknown kind may.
func mayChange(opcode uint32) bool {
	if opcode >= opcodes {
		return true
	}
	kind := &requestKinds[opcode]
	return kind.changes || kind.name == ""
}
