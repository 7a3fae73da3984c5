package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/rootless"
	"github.com/spf13/cobra"
)

// withoutStore are the commands that never open the image store.
var withoutStore = []string{
	"attach", "exec", "help", "kill", "login", "logout", "logs", "ps", "stop", "union", "version", "wait",
	"completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd,
}

// enterStore sees to it that a command can work on the image store. The files of a store that is not of our own driver
// belong to subordinate ids, so the whole command is then run again in a user namespace that has them, where what it
// starts stays; its exit code is returned as an error.
func (a *app) enterStore(cmd *cobra.Command) error {
	if err := layers.CheckDriver(a.storageDriver); err != nil {
		return err // whether the command needs the store or not
	}
	if os.Args[0] == rootless.InsideStage || slices.Contains(withoutStore, topCommand(cmd)) && !measures(cmd) {
		return nil
	}
	driver, err := a.findDriver()
	if err != nil && topCommand(cmd) == "info" {
		return nil // it says what is wrong after all that it can tell
	}
	if err != nil || driver == layers.DriverFuse {
		return err
	}
	caller := rootless.CurrentCaller()
	ids, _, err := rootless.PlanMap(rootless.ModeHost, caller)
	if err != nil {
		return err
	}
	if ids.SingleID {
		return fmt.Errorf("the storage driver %s needs subordinate ids, which the driver fuse does not: %s", driver, caller.Problem)
	}
	code, err := rootless.RunInside(ids, os.Args[1:], environmentInside(caller))
	if err != nil {
		return err
	}
	return exitStatus(code)
}

// measures tells whether ps is to print sizes, which are the store's.
func measures(cmd *cobra.Command) bool {
	size, format := cmd.Flag("size"), cmd.Flag("format")
	return cmd.Name() == "ps" && (size.Changed || strings.Contains(format.Value.String(), ".Size"))
}

// findDriver returns the driver of the store that the flags and the environment name.
func (a *app) findDriver() (string, error) {
	dirs, err := a.dirs()
	if err != nil {
		return "", err
	}
	return layered.FindStorageDriver(dirs, a.storageDriver)
}

// topCommand is the name of the command below the root that cmd belongs to.
func topCommand(cmd *cobra.Command) string {
	for cmd.HasParent() && cmd.Parent().HasParent() {
		cmd = cmd.Parent()
	}
	return cmd.Name()
}

// environmentInside tells the libraries of images that user 0 is not the host's: else they would look for the host's
// credentials, signatures and locks.
func environmentInside(caller rootless.Caller) []string {
	return append(os.Environ(), "_CONTAINERS_USERNS_CONFIGURED=done",
		fmt.Sprintf("_CONTAINERS_ROOTLESS_UID=%d", caller.UID), fmt.Sprintf("_CONTAINERS_ROOTLESS_GID=%d", caller.GID))
}
