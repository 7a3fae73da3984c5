package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/tree"
	"github.com/spf13/cobra"
)

// app is what the commands share: the global flags, and what is made of them.
type app struct {
	root, runRoot, storageDriver string
	maxLayer, maxXattrs          bytesFlag
	maxFiles, maxDepth           int
	docker                       dockerGlobals
}

// engine opens the engine on the directories that the flags, or else the environment, name.
func (a *app) engine() (*layered.Engine, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	limits, err := a.limits()
	if err != nil {
		return nil, err
	}
	ignoreStorageConf()
	e, err := layered.New(dirs, stageProgram)
	if err == nil {
		e.StorageDriver, e.NoXattrs, e.Limits = a.storageDriver, layerfmt.WithoutXattrs(os.Getenv), limits
		e.Containers.Events().Warn = func(err error) { warn([]string{err.Error()}) }
	}
	return e, err
}

// limits are what the flags say of layers.
func (a *app) limits() (tree.Limits, error) {
	switch {
	case a.maxFiles < 1:
		return tree.Limits{}, fmt.Errorf("--max-layer-files %d: want a number from 1 on", a.maxFiles)
	case a.maxDepth < 1 || a.maxDepth > tree.MaxDepth:
		return tree.Limits{}, fmt.Errorf("--max-layer-depth %d: want a number from 1 to %d", a.maxDepth, tree.MaxDepth)
	}
	return tree.Limits{Bytes: int64(a.maxLayer), Entries: a.maxFiles, Depth: a.maxDepth, Xattrs: int(a.maxXattrs)}, nil
}

func (a *app) dirs() (dirs engine.Dirs, err error) {
	if err := engine.CheckRuntimeDir(os.Getenv); err != nil {
		return dirs, err
	}
	if a.root == "" || a.runRoot == "" {
		if dirs, err = engine.DefaultDirs(os.Getenv); err != nil && a.root == "" {
			return dirs, fmt.Errorf("%w: --root DIR names another directory", err)
		}
	}
	if err := override(&dirs.Data, a.root); err != nil {
		return dirs, err
	}
	if a.root != "" && a.runRoot == "" {
		dirs.Run = dirs.Data + "/run"
	}
	if err := override(&dirs.Run, a.runRoot); err != nil {
		return dirs, err
	}
	for _, dir := range []string{dirs.Data, dirs.Run} {
		if !utf8.ValidString(dir) {
			return dirs, notText("directory", dir)
		}
	}
	return dirs, nil
}

// with runs a command's work on an open engine.
func (a *app) with(work func(e *layered.Engine) error) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	defer e.Close()
	return work(e)
}

func execute(args []string) error {
	root := (&app{}).rootCommand()
	root.SetArgs(args)
	root.Use = completionName(args, os.Args[0])
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	if err := checkCommand(root, args); err != nil {
		return err
	}
	return root.ExecuteContext(context.Background())
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "rcrun",
		Short:         "Run containers without root and without a daemon",
		Long:          "rcrun runs containers as an ordinary user: no daemon, no root, no setuid program of its own.",
		Example:       "  rcrun run --rm -it debian:12\n  rcrun run --rm --rootfs /:O id",
		SilenceErrors: true,
		SilenceUsage:  true,

		TraverseChildren: true, // the flags of Docker's client stand before the command

		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(checkText(cmd, args), a.docker.apply()); err != nil {
				return err
			}
			return a.enterStore(cmd)
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand())
	a.docker.register(root)
	root.PersistentFlags().StringVar(&a.root, "root", "",
		"data directory (default $XDG_DATA_HOME/rcrun or ~/.local/share/rcrun)")
	root.PersistentFlags().StringVar(&a.runRoot, "runroot", "",
		"run directory (default $XDG_RUNTIME_DIR/rcrun, else below the data directory)")
	root.PersistentFlags().StringVar(&a.storageDriver, "storage-driver", os.Getenv("RCRUN_STORAGE_DRIVER"),
		"driver of a new image store: fuse, overlay or vfs (default fuse)")
	root.PersistentFlags().Var(&a.maxLayer, "max-layer-size",
		"refuse layers and archives that unpack to more than this (default 200GiB)")
	root.PersistentFlags().IntVar(&a.maxFiles, "max-layer-files", tree.DefaultLimits().Entries,
		"refuse images with a layer of more files than this")
	root.PersistentFlags().IntVar(&a.maxDepth, "max-layer-depth", tree.MaxDepth,
		"refuse images with a path of more directories than this")
	root.PersistentFlags().Var(&a.maxXattrs, "max-xattr-size",
		"refuse images with a file that has more bytes of xattrs than this (default 256KiB)")
	addGroup(root, "Containers:",
		a.runCommand(), a.createCommand(), a.startCommand(), a.attachCommand(), a.execCommand(),
		a.psCommand(), a.logsCommand(), a.inspectCommand(), a.stopCommand(), a.killCommand(), a.waitCommand(),
		a.rmCommand(),
		a.diffCommand(), a.commitCommand(), a.exportCommand(), a.containerCommand(),
	)
	addGroup(root, "Images:",
		a.importCommand(), a.loadCommand(), a.saveCommand(), a.pullCommand(), a.pushCommand(), a.loginCommand(),
		a.logoutCommand(),
		a.imagesCommand(), a.historyCommand(), a.tagCommand(), a.untagCommand(), a.rmiCommand(), a.imageCommand(),
		a.layerCommand(),
	)
	addGroup(root, "The host and the store:",
		a.infoCommand(), a.versionCommand(), a.eventsCommand(), a.systemCommand(), a.storeCommand(), unionCommand())
	completeFlags(root)
	return root
}

// addGroup adds commands that the help lists together under a title.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = title
	}
	root.AddCommand(commands...)
}

// bytesFlag is a size such as 64m.
type bytesFlag int64

// Set reads what the user writes.
func (b *bytesFlag) Set(text string) error {
	size, err := units.RAMInBytes(text)
	if err != nil || size <= 0 {
		return errors.New("want a size such as 64m")
	}
	*b = bytesFlag(size)
	return nil
}

// String returns the size, "" if none was set.
func (b *bytesFlag) String() string {
	if *b == 0 {
		return ""
	}
	return units.BytesSize(float64(*b))
}

// Type names the argument in help texts.
func (*bytesFlag) Type() string { return "size" }
