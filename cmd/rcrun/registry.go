package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers/registry"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// registryFlags are the flags of all commands that talk to registries.
type registryFlags struct {
	options   registry.Options
	global    *dockerGlobals
	creds     string
	tlsVerify bool
	set       *pflag.FlagSet
}

func (a *app) addRegistryFlags(set *pflag.FlagSet) *registryFlags {
	f := &registryFlags{set: set, global: &a.docker}
	set.StringVar(&f.options.AuthFile, "authfile", "",
		"file with registry credentials (default $REGISTRY_AUTH_FILE, else where podman and docker keep them)")
	set.StringVar(&f.options.CertDir, "cert-dir", "",
		"directory with the registry's certificates (*.crt, *.cert, *.key)")
	set.BoolVar(&f.tlsVerify, "tls-verify", true, "require HTTPS with a valid certificate")
	return f
}

// addTransferFlags adds the flags of commands that transfer images.
func (a *app) addTransferFlags(set *pflag.FlagSet) *registryFlags {
	f := a.addRegistryFlags(set)
	retry := registry.DefaultRetry()
	set.StringVar(&f.creds, "creds", "",
		"use these credentials: USER:PASSWORD (other users of this machine can see them)")
	set.IntVar(&f.options.Retry.Times, "retry", retry.Times,
		"how often to try again after a lost connection or an error of the server")
	set.DurationVar(&f.options.Retry.Delay, "retry-delay", retry.Delay,
		"wait before the first new attempt; doubled before each further one")
	return f
}

// registry returns what the flags say.
func (f *registryFlags) registry() registry.Options {
	options := f.options
	options.DockerConfig = f.global.config
	if f.set.Changed("tls-verify") {
		options.TLSVerify = &f.tlsVerify
	}
	options.Credentials.Username, options.Credentials.Password, _ = strings.Cut(f.creds, ":")
	return options
}

// transfer runs a command's work on images. A signal that ends the command lets the work clean up first; a
// second one does not.
func (a *app) transfer(parent context.Context, work func(ctx context.Context, e *layered.Engine) error) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		select {
		case sig := <-signals:
			signal.Stop(signals)
			cancel(exitStatus(128 + int(sig.(syscall.Signal))))
		case <-ctx.Done():
		}
	}()
	err := a.with(func(e *layered.Engine) error { return work(ctx, e) })
	if status := exitStatus(0); err != nil && errors.As(context.Cause(ctx), &status) {
		return status
	}
	return err
}

func (a *app) pullCommand() *cobra.Command {
	var options registry.PullOptions
	var quiet, all bool
	cmd := &cobra.Command{
		Use:   "pull [flags] NAME[:TAG|@DIGEST]",
		Short: "Pull an image from a registry",
		Long: "Pull an image, or all of a repository, from a registry. Names without a registry, mirrors and the " +
			"like are as\n" +
			"containers-registries.conf(5) says; without it they are docker.io's.",
		Example: "  rcrun pull debian:12\n" +
			"  rcrun pull 127.0.0.1:5000/app   # a registry on loopback may speak plain HTTP",
		Args: arguments(1, 1),
	}
	common := a.addTransferFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		options.Options = common.registry()
		options.Progress = pullProgress(os.Stdout, quiet)
		return a.transfer(cmd.Context(), func(ctx context.Context, e *layered.Engine) error {
			names := args
			if all {
				store, err := e.Store(ctx)
				if err != nil {
					return err
				}
				if names, err = registry.Tags(ctx, store, args[0], options.Options); err != nil {
					return err
				}
			} else if !quiet && !hasVersion(args[0]) {
				fmt.Println("Using default tag: latest")
			}
			for _, name := range names {
				pulled, err := e.Pull(ctx, name, options)
				if err != nil {
					return err
				}
				printPulled(pulled, quiet)
			}
			return nil
		})
	}
	registerContentTrust(cmd.Flags())
	cmd.Flags().BoolVarP(&all, "all-tags", "a", false, "pull all tags of the repository")
	cmd.Flags().StringVar(&options.Platform, "platform", "", "platform of the image: os/arch[/variant]")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print only the image's id")
	return cmd
}

// hasVersion tells whether a name has a tag or a digest, and not only a registry with a port.
func hasVersion(name string) bool {
	return strings.ContainsAny(name[strings.LastIndexByte(name, '/')+1:], ":@")
}

// printPulled prints what a pull came to.
func printPulled(pulled registry.Pulled, quiet bool) {
	if quiet {
		fmt.Println(digest.NewDigestFromEncoded(digest.SHA256, pulled.ID))
		return
	}
	printPullStatus(os.Stdout, pulled)
	fmt.Println(pulled.Name)
}

func printPullStatus(w io.Writer, pulled registry.Pulled) {
	status := "Downloaded newer image for"
	if pulled.UpToDate {
		status = "Image is up to date for"
	}
	fmt.Fprintf(w, "Digest: %s\nStatus: %s %s\n", pulled.RepoDigest, status, pulled.FamiliarName)
}

func (a *app) pushCommand() *cobra.Command {
	var options registry.PushOptions
	var quiet, all bool
	cmd := &cobra.Command{
		Use:   "push [flags] NAME[:TAG] [DESTINATION]",
		Short: "Push an image to a registry",
		Example: "  rcrun push registry.example/team/app:1.0\n" +
			"  rcrun push app 127.0.0.1:5000/app   # under another name",
		Args: arguments(1, 2),

		ValidArgsFunction: a.completeImages,
	}
	common := a.addTransferFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		options.Options = common.registry()
		options.Progress = pushProgress(os.Stdout, quiet)
		if len(args) == 2 {
			options.To = args[1]
		}
		return a.transfer(cmd.Context(), func(ctx context.Context, e *layered.Engine) error {
			names := args[:1]
			if all {
				store, err := e.Store(ctx)
				if err != nil {
					return err
				}
				if names, err = registry.TagsHere(ctx, store, args[0]); err != nil {
					return err
				}
			}
			if len(names) > 1 && options.To != "" {
				return errors.New("several tags cannot be pushed to one destination")
			}
			for _, name := range names {
				pushed, err := e.Push(ctx, name, options)
				if err != nil {
					return err
				}
				printPushed(pushed, quiet)
			}
			return nil
		})
	}
	registerContentTrust(cmd.Flags())
	cmd.Flags().BoolVarP(&all, "all-tags", "a", false, "push all tags of the repository")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print only the image's name")
	return cmd
}

// printPushed prints what a push came to.
func printPushed(pushed registry.Pushed, quiet bool) {
	if quiet {
		fmt.Println(pushed.Name)
		return
	}
	fmt.Printf("%s: digest: %s size: %d\n", pushed.Tag, pushed.Digest, pushed.Size)
}
