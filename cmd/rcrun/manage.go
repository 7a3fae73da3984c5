package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/spf13/cobra"
)

// containerWork is what a command does with one of the containers it was given.
type containerWork func(e *layered.Engine, c *engine.Container, name string) error

// forEach looks the containers up and does the work for one after the other; one that fails does not keep the others
// from their turn.
func (a *app) forEach(ctx context.Context, names []string, work containerWork) error {
	return a.with(func(e *layered.Engine) error {
		var all []error
		for _, name := range names {
			all = append(all, lookupAndDo(ctx, e, name, work))
		}
		return errors.Join(all...)
	})
}

// forAll is forEach for work that waits: it is done for all at once.
func (a *app) forAll(ctx context.Context, names []string, work containerWork) error {
	return a.with(func(e *layered.Engine) error {
		all := make([]error, len(names))
		var running sync.WaitGroup
		for i, name := range names {
			running.Go(func() { all[i] = lookupAndDo(ctx, e, name, work) })
		}
		running.Wait()
		return errors.Join(all...)
	})
}

func lookupAndDo(ctx context.Context, e *layered.Engine, name string, work containerWork) error {
	c, err := e.Containers.Lookup(ctx, name)
	if err != nil {
		return err
	}
	return work(e, c, name)
}

func (a *app) stopCommand() *cobra.Command {
	var seconds int
	var text string
	cmd := &cobra.Command{
		Annotations:       usesStore(storeUnused),
		Use:               "stop [flags] CONTAINER...",
		Short:             "Ask containers to end, and kill those that do not",
		Example:           "  rcrun stop -t 2 web",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var options engine.StopOptions
			if cmd.Flags().Changed("timeout") || cmd.Flags().Changed("time") {
				d := time.Duration(seconds) * time.Second
				options.Timeout = &d
			}
			if text != "" {
				if options.Signal, err = engine.ParseSignal(text); err != nil {
					return err
				}
			}
			return a.forAll(cmd.Context(), args, func(_ *layered.Engine, c *engine.Container, name string) error {
				if err := c.Stop(cmd.Context(), options); err != nil {
					return err
				}
				fmt.Println(name)
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&text, "signal", "s", "",
		"signal to send first, by name or number (default: the container's, or TERM)")
	cmd.Flags().IntVarP(&seconds, "timeout", "t", 10, "seconds to wait before killing; -1 waits for ever")
	cmd.Flags().IntVar(&seconds, "time", 10, "same as --timeout")
	cmd.Flags().Lookup("time").Hidden = true
	return cmd
}

func (a *app) killCommand() *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Annotations:       usesStore(storeUnused),
		Use:               "kill [flags] CONTAINER...",
		Short:             "Send a signal to containers",
		Example:           "  rcrun kill -s HUP web",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, err := engine.ParseSignal(text)
			if err != nil {
				return err
			}
			return a.forEach(cmd.Context(), args, func(_ *layered.Engine, c *engine.Container, name string) error {
				if err := killOne(cmd.Context(), c, sig); err != nil {
					return err
				}
				fmt.Println(name)
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&text, "signal", "s", "KILL", "signal to send, by name or number")
	return cmd
}

// killOne sends the signal. After KILL it waits for the end, so that what follows finds the container stopped.
func killOne(ctx context.Context, c *engine.Container, sig syscall.Signal) error {
	if err := c.Signal(ctx, sig); err != nil {
		return err
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	_, err := c.Wait(ctx)
	return err
}

func (a *app) waitCommand() *cobra.Command {
	return &cobra.Command{
		Annotations:       usesStore(storeUnused),
		Use:               "wait [flags] CONTAINER...",
		Short:             "Wait until containers have ended, and print their exit codes",
		Example:           "  rcrun wait job",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forEach(cmd.Context(), args, func(_ *layered.Engine, c *engine.Container, _ string) error {
				exit, err := c.Wait(cmd.Context())
				if err != nil {
					return err
				}
				fmt.Println(exit.Code)
				return nil
			})
		},
	}
}

// removeOne removes a container. With force, one that is not there is as good as removed.
func removeOne(ctx context.Context, e *layered.Engine, name string, force bool) error {
	err := e.Containers.Remove(ctx, name, force)
	if force && errdefs.IsNotFound(err) {
		complain(err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Println(name)
	return nil
}

func (a *app) rmCommand() *cobra.Command {
	var force, volumes bool
	cmd := &cobra.Command{
		Use:               "rm [flags] CONTAINER...",
		Short:             "Remove containers",
		Example:           "  rcrun rm -f web",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				var all []error
				for _, name := range args {
					if err := removeOne(cmd.Context(), e, name, force); err != nil {
						all = append(all, err)
					}
				}
				return errors.Join(all...)
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill a running container")
	cmd.Flags().BoolVarP(&volumes, "volumes", "v", false,
		"remove anonymous volumes too (a container's writes are always removed with it)")
	return cmd
}
