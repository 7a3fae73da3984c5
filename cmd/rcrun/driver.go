package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/rootless"
	"github.com/spf13/cobra"
)

// A command says by the annotation storeUse what it has to do with the image store. One that says nothing works on it.
// What a group of commands says holds for those in it that say nothing.
const (
	storeUse = "store"

	storeUnused   = "unused"      // it never opens the store
	storeForSizes = "for sizes"   // it opens the store to measure containers, if it must print their sizes
	storeReported = "reported on" // it opens the store, and reports on one that cannot be opened after all else
)

// usesStore is the annotation of a command.
func usesStore(use string) map[string]string { return map[string]string{storeUse: use} }

// storeUseOf returns what a command says of the store; "" is that it works on it. The commands that cobra adds do not.
func storeUseOf(cmd *cobra.Command) string {
	for ; cmd != nil; cmd = cmd.Parent() {
		if use, says := cmd.Annotations[storeUse]; says {
			return use
		}
		switch cmd.Name() {
		case "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
			return storeUnused
		}
	}
	return ""
}

// enterStore sees to it that a command can work on the image store. The files of a store that is not of our own driver
// belong to subordinate ids, so the whole command is then run again in a user namespace that has them, where what it
// starts stays; its exit code is returned as an error.
func (a *app) enterStore(cmd *cobra.Command) error {
	if err := driver.Check(a.storageDriver); err != nil {
		return err // whether the command needs the store or not
	}
	use := storeUseOf(cmd)
	if os.Args[0] == rootless.InsideStage || use == storeUnused || use == storeForSizes && !measures(cmd) {
		return nil
	}
	name, err := a.findDriver()
	if err != nil && use == storeReported {
		return nil
	}
	if err != nil || name == driver.Fuse {
		return err
	}
	caller := rootless.CurrentCaller()
	ids, _, err := rootless.PlanMap(rootless.ModeHost, caller)
	if err != nil {
		return err
	}
	if ids.SingleID {
		return fmt.Errorf("the storage driver %s needs subordinate ids, which the driver fuse does not: %s", name,
			caller.Problem)
	}
	// The command inside gets the signals, too, and decides what to do.
	code, err := rootless.RunInside(context.WithoutCancel(cmd.Context()), ids, os.Args[1:], environmentInside(caller))
	if err != nil {
		return err
	}
	return exitStatus(code)
}

// measures tells whether ps must print sizes, which are the store's.
func measures(cmd *cobra.Command) bool {
	size, format := cmd.Flag("size"), cmd.Flag("format")
	return size.Changed || strings.Contains(format.Value.String(), ".Size")
}

// findDriver returns the driver of the store that the flags and the environment name.
func (a *app) findDriver() (string, error) {
	dirs, err := a.dirs()
	if err != nil {
		return "", err
	}
	return layered.FindStorageDriver(dirs, a.storageDriver)
}

// environmentInside tells the libraries of images that user 0 is not the host's: else they would look for the host's
// credentials, signatures and locks.
func environmentInside(caller rootless.Caller) []string {
	return append(os.Environ(), "_CONTAINERS_USERNS_CONFIGURED=done",
		fmt.Sprintf("_CONTAINERS_ROOTLESS_UID=%d", caller.UID), fmt.Sprintf("_CONTAINERS_ROOTLESS_GID=%d", caller.GID))
}
