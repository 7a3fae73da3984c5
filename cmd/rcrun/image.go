package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
	"github.com/spf13/cobra"
)

// imageCommand groups what is done with images, under the names that Docker has for it there.
func (a *app) imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		Short:   "Work with images",
		Example: "  rcrun image ls\n  rcrun image inspect debian:12",
	}
	cmd.AddCommand(
		renamed(a.imagesCommand(), "ls [flags] [NAME[:TAG]]", "list"), renamed(a.rmiCommand(), "rm [flags] IMAGE...",
			"remove"), a.imageInspectCommand(),
		a.tagCommand(), a.untagCommand(), a.historyCommand(), a.importCommand(), a.loadCommand(), a.saveCommand(),
		a.pullCommand(), a.pushCommand(),
		a.treeCommand(), a.imagePruneCommand(),
	)
	return cmd
}

// containerCommand does the same for containers.
func (a *app) containerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "container",
		Short:   "Work with containers",
		Example: "  rcrun container ls -a\n  rcrun container inspect web",
	}
	cmd.AddCommand(
		a.runCommand(), a.createCommand(), a.startCommand(), a.attachCommand(), a.execCommand(),
		renamed(a.psCommand(), "ls [flags]", "list", "ps"), a.logsCommand(), a.containerInspectCommand(),
		a.stopCommand(), a.killCommand(), a.waitCommand(), a.rmCommand(), a.containerPruneCommand(),
		a.commitCommand(), a.diffCommand(), a.exportCommand(),
	)
	return cmd
}

// renamed gives a command the name that it has in a group.
func renamed(cmd *cobra.Command, use string, aliases ...string) *cobra.Command {
	cmd.Use, cmd.Aliases = use, aliases
	return cmd
}

func (a *app) tagCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "tag [flags] IMAGE NAME[:TAG]...",
		Short:             "Give an image more names",
		Example:           "  rcrun tag debian:12 registry.example/base:latest",
		Args:              arguments(2, -1),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error { return e.Tag(cmd.Context(), args[0], args[1:]...) })
		},
	}
}

func (a *app) untagCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "untag [flags] IMAGE [NAME[:TAG]...]",
		Short:             "Remove names from an image, all of them without NAME; the image stays",
		Example:           "  rcrun untag debian:12 registry.example/base:latest",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				removed, err := e.Untag(cmd.Context(), args[0], args[1:]...)
				printRemovals(removed)
				return err
			})
		},
	}
}

func printRemovals(removed []layers.Removal) {
	for _, r := range removed {
		if r.Untagged != "" {
			fmt.Println("Untagged:", r.Untagged)
		}
		if r.Deleted != "" {
			fmt.Println("Deleted:", r.Deleted)
		}
	}
}

func (a *app) rmiCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rmi [flags] IMAGE...",
		Short: "Remove images, or a name of an image that has several",
		Long: "Takes from an image the name that is given, and removes the image with its last name; given an id, it " +
			"removes all names.\n" +
			"An image that a container uses is not removed. With --force it loses its names, and goes when the " +
			"container is gone.",
		Example:           "  rcrun rmi debian:12",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				var all []error
				for _, name := range args {
					all = append(all, removeImage(cmd.Context(), e, name, force))
				}
				return errors.Join(all...)
			})
		},
	}
	cmd.Flags().Bool("no-prune", false, "no effect: images without a name that others are made of do not exist")
	cmd.Flags().BoolVarP(&force, "force", "f", false,
		"remove an image with names in several repositories; take the names from one that a container uses")
	return cmd
}

// removeImage removes an image. With force, one that is not there is as good as removed.
func removeImage(ctx context.Context, e *layered.Engine, name string, force bool) error {
	removed, err := e.RemoveImage(ctx, name, force)
	printRemovals(removed)
	if force && errdefs.IsNotFound(err) {
		complain(err)
		return nil
	}
	return err
}
