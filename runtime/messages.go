package runtime

import (
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The kinds of messages between creator and sandbox, in the order in which they are sent.
const (
	msgConfig  = "config"  // creator -> sandbox: what to become
	msgMapped  = "mapped"  // creator -> sandbox: the id maps are written
	msgRoot    = "root"    // sandbox -> creator: rootMounted
	msgRootFD  = "rootfd"  // sandbox -> creator: what Root.Mount returned
	msgBorn    = "born"    // sandbox -> creator: the namespaces of the first process (started) are there
	msgConsole = "console" // sandbox -> creator: the master of the payload's terminal
	msgCreated = "created" // sandbox -> creator: created, with a pidfd of the first process
	msgStart   = "start"   // creator -> sandbox: execute the payload
	msgStarted = "started" // sandbox -> creator: it is executing; for an exec, started with a pidfd
	msgExec    = "exec"    // creator -> sandbox: execRequest with a wire of its own and stdin, stdout, stderr
	msgSync    = "sync"    // creator -> sandbox: sync the root, with a wire for the answer
	msgSynced  = "synced"  // sandbox -> creator, on that wire: the root was synced
	msgDial    = "dial"    // creator -> sandbox: dialRequest, with a wire for the answer
	msgDialed  = "dialed"  // sandbox -> creator, on that wire: the socket
	msgExit    = "exit"    // sandbox -> creator: ExitStatus
)

// sandboxConfig is sent with stdin, stdout and stderr of the payload.
type sandboxConfig struct {
	Spec     *specs.Spec // without its seccomp profile
	Filter   seccompFilter
	RootKind string
	Root     json.RawMessage
	Dir      string
	Init     bool

	OpenMounts bool
}

type rootMounted struct {
	FD bool // a msgRootFD follows
}

type created struct {
	Pid      int
	Warnings []string
}

type execRequest struct {
	Process *specs.Process
}

type started struct {
	Pid int
}

// ExitStatus tells how a process ended.
type ExitStatus struct {
	Code   int // as a shell has it: 128+n after signal n
	Signal int // the signal that ended it, or 0
}
