package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/escape"
	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/registry"
	"github.com/spf13/cobra"
)

func (a *app) runCommand() *cobra.Command {
	flags := containerFlags{global: &a.docker}
	var sigProxy bool
	var detachKeys string
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE [COMMAND [ARG...]]",
		Short: "Create a container and start it",
		Example: "  rcrun run --rm -it debian:12 bash\n  rcrun run -d --name web -p 8080:80 nginx\n" +
			"  rcrun run --rm --storage-opt size=2g debian:12 apt-get update\n" +
			"  rcrun run --rm --rootfs /:O sh -c 'rm -rf /usr/share/doc; ls /usr/share'   # of the host nothing is " +
			"changed",
		Args:              flags.needsImage,
		ValidArgsFunction: onlyFirst(a.completeImages),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options(args)
			if err != nil {
				return err
			}
			c := options.Config
			attach := attachOptions{stdin: c.AttachStdin, stdout: c.AttachStdout, stderr: c.AttachStderr,
				tty: flags.tty, sigProxy: sigProxy, detachKeys: detachKeys}
			if err := attach.check(); err != nil {
				return err
			}
			return a.with(func(e *layered.Engine) error {
				return runContainer(cmd.Context(), e, options, &flags, attach)
			})
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().BoolVarP(&flags.detach, "detach", "d", false, "run in the background and print the container's id")
	cmd.Flags().BoolVar(&sigProxy, "sig-proxy", true, "forward signals to the container's command")
	addDetachKeys(cmd, &detachKeys)
	return cmd
}

func (a *app) createCommand() *cobra.Command {
	flags := containerFlags{global: &a.docker}
	cmd := &cobra.Command{
		Use:               "create [flags] IMAGE [COMMAND [ARG...]]",
		Short:             "Create a container without starting it, and print its id",
		Example:           "  rcrun create --name job debian:12 make -C /src",
		Args:              flags.needsImage,
		ValidArgsFunction: onlyFirst(a.completeImages),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options(args)
			if err != nil {
				return err
			}
			return a.with(func(e *layered.Engine) error {
				c, err := createContainer(cmd.Context(), e, options, &flags)
				if err != nil {
					return err
				}
				fmt.Println(c.ID)
				return nil
			})
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

// runContainer creates a container and starts it. One that cannot even be handed to a monitor is removed again where
// --rm says so; from then on that is the monitor's duty.
func runContainer(ctx context.Context, e *layered.Engine, options engine.CreateOptions, flags *containerFlags,
	attach attachOptions) error {
	c, err := createContainer(ctx, e, options, flags)
	if err != nil {
		return err
	}
	if flags.detach {
		err = startDetached(ctx, e, c)
	} else {
		err = attachTo(ctx, attach, startWith(e, c))
	}
	var status exitStatus
	if err != nil && flags.rm && !errors.As(err, &status) && !errors.Is(err, engine.ErrHangup) {
		err = errors.Join(err, c.RemoveUnstarted(ctx, e.Containers))
	}
	return err
}

// startWith starts the container with our streams.
func startWith(e *layered.Engine, c *engine.Container) connector {
	return func(ctx context.Context, streams engine.Streams, size engine.WinSize) (*engine.Session, error) {
		return e.Containers.Start(ctx, c, streams, size)
	}
}

// createContainer creates the container, and pulls its image where that is asked for and nothing else is wrong.
func createContainer(ctx context.Context, e *layered.Engine, options engine.CreateOptions,
	flags *containerFlags) (*engine.Container, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if err := provideImage(ctx, e, options.Config.Image, flags); err != nil {
		return nil, err
	}
	c, warnings, err := e.Create(ctx, options, flags.platform)
	warn(warnings)
	return c, err
}

// provideImage sees to it that the image is in the store, as --pull says.
func provideImage(ctx context.Context, e *layered.Engine, image string, flags *containerFlags) error {
	policy := layered.PullPolicy(flags.pull)
	if !slices.Contains(layered.PullPolicies, policy) {
		return fmt.Errorf("invalid --pull %q: want missing, always or never", flags.pull)
	}
	if image == "" && flags.platform != "" {
		return errors.New("--platform needs an image, and --rootfs gives a directory")
	}
	if image == "" {
		return nil
	}
	options := layered.ProvideOptions{Policy: policy, PullOptions: registry.PullOptions{
		Options:  registry.Options{Retry: registry.DefaultRetry(), DockerConfig: flags.global.config},
		Platform: flags.platform,
		Progress: pullProgress(os.Stderr, flags.quiet),
	}}
	if !flags.quiet {
		options.Missing = func(reason error) { fmt.Fprintln(os.Stderr, escape.Message(notHere(image, reason))) }
	}
	pulled, err := e.Provide(ctx, image, options)
	if pulled != nil && !flags.quiet {
		printPullStatus(os.Stderr, *pulled)
	}
	return err
}

// startDetached starts the container and leaves it to its monitor.
func startDetached(ctx context.Context, e *layered.Engine, c *engine.Container) error {
	session, err := e.Containers.Start(ctx, c, engine.Streams{}, engine.WinSize{})
	if err != nil {
		return err
	}
	defer session.Close()
	warn(session.Warnings)
	fmt.Println(c.ID)
	return nil
}

func (a *app) startCommand() *cobra.Command {
	var attach, interactive bool
	var detachKeys string
	cmd := &cobra.Command{
		Use:               "start [flags] CONTAINER...",
		Short:             "Start containers that are not running",
		Example:           "  rcrun start web\n  rcrun start -ai job",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			attach = attach || interactive
			if attach && len(args) > 1 {
				return errors.New("cannot attach to several containers at once")
			}
			return a.forEach(cmd.Context(), args, func(e *layered.Engine, c *engine.Container, name string) error {
				if attach {
					return startAttached(cmd.Context(), e, c, interactive, detachKeys)
				}
				return startOne(cmd.Context(), e, c, name)
			})
		},
	}
	cmd.Flags().BoolVarP(&attach, "attach", "a", false, "attach to the output, and end as the container does")
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "attach standard input as well")
	addDetachKeys(cmd, &detachKeys)
	return cmd
}

// startAttached starts a container, or just attaches to one that runs already.
func startAttached(ctx context.Context, e *layered.Engine, c *engine.Container, interactive bool,
	detachKeys string) error {
	options := attachOptions{stdin: interactive && c.Config.OpenStdin, stdout: true, stderr: true, tty: c.Config.Tty,
		sigProxy: true, detachKeys: detachKeys}
	if err := options.check(); err != nil {
		return err
	}
	if c.State.Status.Up() {
		return attachTo(ctx, options, c.Attach)
	}
	return attachTo(ctx, options, startWith(e, c))
}

func startOne(ctx context.Context, e *layered.Engine, c *engine.Container, name string) error {
	if !c.State.Status.Up() {
		session, err := e.Containers.Start(ctx, c, engine.Streams{}, engine.WinSize{})
		if err != nil {
			return err
		}
		defer session.Close()
		warn(session.Warnings)
	}
	fmt.Println(name)
	return nil
}

func addDetachKeys(cmd *cobra.Command, keys *string) {
	cmd.Flags().StringVar(keys, "detach-keys", defaultDetachKeys,
		"keys that detach from the terminal; the program in it runs on")
}

func (a *app) attachCommand() *cobra.Command {
	options := attachOptions{stdout: true, stderr: true}
	var noStdin bool
	cmd := &cobra.Command{
		Annotations:       usesStore(storeUnused),
		Use:               "attach [flags] CONTAINER",
		Short:             "Attach to a running container",
		Example:           "  rcrun attach web   # leave with Ctrl-P Ctrl-Q",
		Args:              arguments(1, 1),
		ValidArgsFunction: a.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forEach(cmd.Context(), args, func(_ *layered.Engine, c *engine.Container, _ string) error {
				options.stdin, options.tty = c.Config.OpenStdin && !noStdin, c.Config.Tty
				if err := options.check(); err != nil {
					return err
				}
				return attachTo(cmd.Context(), options, c.Attach)
			})
		},
	}
	cmd.Flags().BoolVar(&noStdin, "no-stdin", false, "do not attach standard input")
	cmd.Flags().BoolVar(&options.sigProxy, "sig-proxy", true, "forward signals to the container's command")
	addDetachKeys(cmd, &options.detachKeys)
	return cmd
}

func (a *app) execCommand() *cobra.Command {
	var options engine.ExecOptions
	var interactive bool
	var env, envFiles []string
	var detachKeys string
	cmd := &cobra.Command{
		Annotations:       usesStore(storeUnused),
		Use:               "exec [flags] CONTAINER COMMAND [ARG...]",
		Short:             "Run a command in a running container",
		Example:           "  rcrun exec -it web bash\n  rcrun exec -u www-data web id",
		Args:              arguments(2, -1),
		ValidArgsFunction: onlyFirst(a.completeContainers),
		RunE: func(cmd *cobra.Command, args []string) error {
			attach := attachOptions{stdin: interactive && !options.Detach, stdout: !options.Detach,
				stderr: !options.Detach, tty: options.Tty, detachKeys: detachKeys}
			err := attach.check()
			if err != nil {
				return err
			}
			if options.Env, err = environment(envFiles, env); err != nil {
				return err
			}
			options.Args = args[1:]
			return a.forEach(cmd.Context(), args[:1], func(_ *layered.Engine, c *engine.Container, _ string) error {
				return execAttached(cmd.Context(), c, options, attach)
			})
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "keep standard input open")
	cmd.Flags().BoolVarP(&options.Tty, "tty", "t", false, "give the command a terminal")
	cmd.Flags().BoolVarP(&options.Detach, "detach", "d", false, "run in the background")
	addDetachKeys(cmd, &detachKeys)
	cmd.Flags().BoolVar(&options.Privileged, "privileged", false,
		"give the command all capabilities in the container's user namespace")
	cmd.Flags().StringVarP(&options.User, "user", "u", "", "user of the command: name or uid[:group or gid]")
	cmd.Flags().StringVarP(&options.WorkingDir, "workdir", "w", "", "working directory of the command")
	cmd.Flags().StringArrayVarP(&env, "env", "e", nil, "set an environment variable")
	cmd.Flags().StringArrayVar(&envFiles, "env-file", nil, "read environment variables from a file")
	return cmd
}

// notHere says why an image is pulled: it is not in the store (Docker's sentence), or it is for another platform.
func notHere(image string, reason error) string {
	var platform *imagename.PlatformError
	if errors.As(reason, &platform) {
		return reason.Error() + "; looking for it in the registry"
	}
	return fmt.Sprintf("Unable to find image '%s' locally", image)
}
