package main

import (
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/layers"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// withStore runs a command's work on the image store.
func (a *app) withStore(work func(s *layers.Store) error) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	defer e.Close()
	store, err := e.Store()
	if err != nil {
		return err
	}
	return work(store)
}

// progressTo returns where progress is shown: a terminal, and nowhere else.
func progressTo(file *os.File, quiet bool) io.Writer {
	if quiet || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return file
}

func (a *app) pullCommand() *cobra.Command {
	var options layers.PullOptions
	var quiet, tlsVerify bool
	cmd := &cobra.Command{
		Use:     "pull [flags] NAME[:TAG|@DIGEST]",
		Short:   "Pull an image from a registry",
		Example: "  rcrun pull debian:12\n  rcrun pull 127.0.0.1:5000/app   # a registry on loopback may speak plain HTTP",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.Progress = progressTo(os.Stderr, quiet)
			if cmd.Flags().Changed("tls-verify") {
				options.TLSVerify = &tlsVerify
			}
			return a.withStore(func(s *layers.Store) error {
				image, err := s.Pull(cmd.Context(), args[0], options)
				if err != nil {
					return err
				}
				fmt.Println(digest.NewDigestFromEncoded(digest.SHA256, image.ID))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&options.Platform, "platform", "", "platform of the image: os/arch[/variant]")
	cmd.Flags().StringVar(&options.AuthFile, "authfile", "", "file with registry credentials")
	cmd.Flags().BoolVar(&tlsVerify, "tls-verify", true, "insist on HTTPS with a valid certificate")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no progress")
	return cmd
}
