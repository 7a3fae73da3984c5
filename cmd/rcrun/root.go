package main

import (
	"context"
	"os"

	"github.com/rcrun/rcrun/engine"
	"github.com/spf13/cobra"
)

// app is what the commands share: the global flags, and what is made of them.
type app struct {
	root, runRoot string
}

// engine opens the engine on the directories that the flags, or else the environment, name.
func (a *app) engine() (*engine.Engine, error) {
	var dirs engine.Dirs
	if a.root == "" || a.runRoot == "" {
		defaults, err := engine.DefaultDirs(os.Getenv)
		if err != nil && a.root == "" {
			return nil, err
		}
		dirs = defaults
	}
	if err := override(&dirs.Data, a.root); err != nil {
		return nil, err
	}
	if a.root != "" && a.runRoot == "" {
		dirs.Run = dirs.Data + "/run"
	}
	if err := override(&dirs.Run, a.runRoot); err != nil {
		return nil, err
	}
	return engine.New(dirs)
}

// with runs a command's work on an open engine.
func (a *app) with(work func(e *engine.Engine) error) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	defer e.Close()
	return work(e)
}

func execute(args []string) error {
	a := &app{}
	root := &cobra.Command{
		Use:           "rcrun",
		Short:         "Run containers without root and without a daemon",
		Long:          "Rcrun runs containers as an ordinary user: no daemon, no root, no setuid program of its own.",
		Example:       "  rcrun run --rm -it debian:12\n  rcrun run --rm --rootfs /:O id",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.PersistentFlags().StringVar(&a.root, "root", "", "data directory (default $XDG_DATA_HOME/rcrun or ~/.local/share/rcrun)")
	root.PersistentFlags().StringVar(&a.runRoot, "runroot", "", "run directory (default $XDG_RUNTIME_DIR/rcrun, else below the data directory)")
	root.AddCommand(
		a.runCommand(), a.createCommand(), a.startCommand(), a.attachCommand(), a.execCommand(),
		a.psCommand(), a.logsCommand(), a.inspectCommand(),
		a.stopCommand(), a.killCommand(), a.waitCommand(), a.rmCommand(),
		a.importCommand(), a.loadCommand(), a.saveCommand(), a.pullCommand(), a.pushCommand(), a.loginCommand(), a.logoutCommand(),
		a.imagesCommand(), a.rmiCommand(),
		a.layerCommand(), a.systemCommand(), a.storeCommand(),
		a.tagCommand(), a.untagCommand(), a.historyCommand(), a.imageCommand(), a.containerCommand(),
		a.versionCommand(), a.infoCommand(), unionCommand(),
	)
	return root.ExecuteContext(context.Background())
}
