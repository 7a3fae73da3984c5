package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const changeHelp = "apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, " +
	"SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR"

func (a *app) importCommand() *cobra.Command {
	var options archive.ImportOptions
	cmd := &cobra.Command{
		Use:     "import [flags] FILE|URL|- [NAME[:TAG]]",
		Short:   "Make an image of one layer from a tar of a root filesystem",
		Example: "  mmdebstrap --variant=minbase bookworm - | rcrun import -c 'CMD [\"bash\"]' - debian:12",
		Args:    arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				options.Name = args[1]
			}
			if args[0] == "-" && stdinIsTerminal() {
				return errStdinTerminal
			}
			return a.transfer(cmd.Context(), func(ctx context.Context, e *layered.Engine) error {
				id, err := importFrom(ctx, e, args[0], options)
				if err != nil {
					return err
				}
				fmt.Println(digest.NewDigestFromEncoded(digest.SHA256, id))
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVarP(&options.Changes, "change", "c", nil, changeHelp)
	cmd.Flags().StringVarP(&options.Message, "message", "m", "", "comment in the image's history")
	cmd.Flags().StringVar(&options.Platform, "platform", "",
		"platform of the image: os/arch[/variant] (default this host's)")
	return cmd
}

var errStdinTerminal = errors.New("standard input is a terminal: give a file, or pipe one in")

// importFrom imports a file, what a server has, or standard input.
func importFrom(ctx context.Context, e *layered.Engine, source string, options archive.ImportOptions) (id string,
	err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return "", err
	}
	input, size, err := openSource(ctx, store, source)
	if err != nil {
		return "", err
	}
	defer input.Close()
	show, end := progressLine("Importing", false)
	defer end()
	options.Progress, options.Size = show, size
	return e.Import(ctx, input, options)
}

// openSource opens the tar of an import, and tells its size in bytes, 0 if that is not known.
func openSource(ctx context.Context, s *layers.Store, source string) (input io.ReadCloser, size int64, err error) {
	file := os.Stdin
	switch {
	case archive.IsURL(source):
		return archive.OpenURL(ctx, s, source)
	case source != "-":
		if file, err = os.Open(source); err != nil {
			return nil, 0, fmt.Errorf("open archive: %w", err)
		}
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, nil
}

func (a *app) loadCommand() *cobra.Command {
	var input string
	var quiet bool
	cmd := &cobra.Command{
		Use:     "load [flags]",
		Short:   "Load images from an archive made by save (docker-archive or oci-archive), or from an image layout",
		Example: "  rcrun load -i image.tar\n  docker save debian:12 | rcrun load",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if input == "-" && stdinIsTerminal() {
				return errStdinTerminal
			}
			return a.with(func(e *layered.Engine) error {
				show, end := progressLine("Reading the archive", quiet)
				options := archive.LoadOptions{Progress: loadProgress(os.Stderr, quiet), Copied: show}
				loaded, err := e.Load(cmd.Context(), input, os.Stdin, options)
				end()
				for _, name := range loaded {
					fmt.Println("Loaded image:", name)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", "-",
		"archive or directory of an image layout to read, - for standard input")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no progress")
	return cmd
}

func (a *app) saveCommand() *cobra.Command {
	var output, format, compression string
	cmd := &cobra.Command{
		Use:   "save [flags] IMAGE...",
		Short: "Save images to one archive, with their layers, names and histories",
		Long: "Saves images to one archive. A name without a tag stands for all tags that it has here.\n\n" +
			"In a docker-archive the layers are not compressed, and --compression is about the whole file; in an " +
			"oci-archive it is\n" +
			"about the layers, which are compressed by gzip unless it says otherwise.",
		Example: "  rcrun save -o debian.tar debian:12\n" +
			"  rcrun save --format oci-archive --compression zstd debian:12 app:v1 | ssh host rcrun load",
		Args:              arguments(1, -1),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			options := archive.SaveOptions{Format: archive.ArchiveFormat(format),
				Compression: archive.Compression(compression)}
			return a.with(func(e *layered.Engine) error {
				var end func()
				options.Progress, end = progressLine("Saving", false)
				defer end()
				return writeOutput(cmd.Context(), output, func(ctx context.Context, w io.Writer) error {
					return e.Save(ctx, w, args, options)
				})
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default standard output)")
	cmd.Flags().StringVar(&format, "format", string(archive.DockerArchive), "docker-archive or oci-archive")
	cmd.Flags().StringVar(&compression, "compression", "", "none, gzip or zstd")
	return cmd
}

// writeOutput has write write to a file, or to standard output where path is empty. A file that is there is replaced
// when all is written, and only then; on an interruption nothing is left.
func writeOutput(ctx context.Context, path string, write func(ctx context.Context, w io.Writer) error) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if path == "" {
		if term.IsTerminal(int(os.Stdout.Fd())) {
			return errors.New("standard output is a terminal: give a file by --output, or pipe it elsewhere")
		}
		return write(ctx, os.Stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeDevice(ctx, path, write)
	}
	return atomicfile.WriteFrom(path, 0o600, func(w io.Writer) error {
		return withHoles(w, func(w io.Writer) error { return write(ctx, w) })
	})
}

// outputBuffer is how much of an archive is written at once.
const outputBuffer = 1 << 20

// withHoles has write write to a new file, in which zeros become holes: an archive has those of the files in it.
func withHoles(out io.Writer, write func(w io.Writer) error) error {
	file, ok := out.(*os.File)
	if !ok {
		return write(out)
	}
	r, w := io.Pipe()
	filled := make(chan error)
	go func() {
		_, err := filecopy.Fill(int(file.Fd()), r, make([]byte, outputBuffer))
		r.CloseWithError(err) // which ends the writing
		filled <- err
	}()
	buffered := bufio.NewWriterSize(w, outputBuffer)
	err := write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	w.CloseWithError(err)
	if failure := <-filled; err == nil {
		err = failure
	}
	return err
}

// writeDevice writes to what must not be replaced: a device or a named pipe.
func writeDevice(ctx context.Context, path string, write func(ctx context.Context, w io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open output: %w", err)
	}
	return errors.Join(write(ctx, file), file.Close())
}
