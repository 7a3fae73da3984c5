package main

import (
	"errors"
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

func (a *app) importCommand() *cobra.Command {
	var options layers.ImportOptions
	cmd := &cobra.Command{
		Use:     "import [flags] FILE|- [NAME[:TAG]]",
		Short:   "Make an image of one layer from a tar of a root filesystem",
		Example: "  mmdebstrap --variant=minbase bookworm - | rcrun import -c 'CMD [\"bash\"]' - debian:12",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				options.Name = args[1]
			}
			source, err := openInput(args[0])
			if err != nil {
				return err
			}
			defer source.Close()
			return a.withStore(func(s *layers.Store) error {
				id, err := s.Import(cmd.Context(), source, options)
				if err != nil {
					return err
				}
				fmt.Println(digest.NewDigestFromEncoded(digest.SHA256, id))
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVarP(&options.Changes, "change", "c", nil, "apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR")
	cmd.Flags().StringVarP(&options.Message, "message", "m", "", "comment in the image's history")
	cmd.Flags().StringVar(&options.Platform, "platform", "", "platform of the image: os/arch[/variant] (default this host's)")
	return cmd
}

var errStdinTerminal = errors.New("standard input is a terminal: give a file, or pipe one in")

// openInput opens a file, or standard input for "-".
func openInput(path string) (io.ReadCloser, error) {
	if path == "-" {
		if stdinIsTerminal() {
			return nil, errStdinTerminal
		}
		return io.NopCloser(os.Stdin), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	return file, nil
}

func (a *app) loadCommand() *cobra.Command {
	var input string
	var quiet bool
	cmd := &cobra.Command{
		Use:     "load [flags]",
		Short:   "Load images from an archive made by save: docker-archive or oci-archive",
		Example: "  rcrun load -i image.tar\n  docker save debian:12 | rcrun load",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if input == "-" && stdinIsTerminal() {
				return errStdinTerminal
			}
			return a.withStore(func(s *layers.Store) error {
				loaded, err := s.Load(cmd.Context(), input, os.Stdin, layers.LoadOptions{Progress: progressTo(os.Stderr, quiet)})
				for _, name := range loaded {
					fmt.Println("Loaded image:", name)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", "-", "archive to read, - for standard input")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no progress")
	return cmd
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
