package runtime

import (
	goruntime "runtime"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

const stageExec = "exec"

// ExecMain is what the stage ExecStage runs: it was forked into the container's pid namespace, joins the others and
// becomes the command. It returns an exit code if that fails.
//
// Once it has joined, the container may look at it. What it still holds is of no use there: its binary is read-only,
// it is not dumpable, and its wire leads to a reader that trusts nothing.
func ExecMain() int {
	goruntime.LockOSThread()
	return stageMain(stageExec, joinAndRun)
}

func joinAndRun(conn *wire.Conn) error {
	var config execConfig
	files, err := conn.Expect(msgConfig, &config, 1)
	if err != nil {
		return err
	}
	pidfd := files[0]
	defer pidfd.Close()
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return wire.Errorf(stageExec, "hide from the container", "", err)
	}
	// A mount namespace can be joined by a thread whose root directory is no other thread's.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return wire.Errorf(stageExec, "unshare the root directory", "", err)
	}
	if err := unix.Setns(int(pidfd.Fd()), config.Namespaces); err != nil {
		return wire.Errorf(stageExec, "join the container's namespaces", "", err)
	}
	return config.Payload.run(stageExec)
}
