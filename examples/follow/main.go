// Follow shows how a program uses the engine: it imports a root filesystem, runs a command in a container of it,
// follows what the command writes until it has read three lines, and removes the container.
//
//	follow DIR ROOTFS.TAR
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers/archive"
)

func main() {
	if code, ok := layered.RunStage(); ok { // the container's processes are this program, too
		os.Exit(code)
	}
	if len(os.Args) != 3 {
		log.Fatal("usage: follow DIR ROOTFS.TAR")
	}
	rootfs, err := os.Open(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := follow(context.Background(), os.Args[1], rootfs, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// follow keeps all that it makes in dir.
func follow(ctx context.Context, dir string, rootfs io.Reader, out io.Writer) (err error) {
	dirs := engine.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}
	e, err := layered.New(dirs, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var options engine.CreateOptions
	options.Config.Cmd = []string{"sh", "-c", "while echo tick; do sleep 0.1; done"}
	if options.Config.Image, err = e.Import(ctx, rootfs, archive.ImportOptions{}); err != nil {
		return err
	}
	container, _, err := e.Create(ctx, options, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Containers.Remove(ctx, container.ID, true)) }()
	session, err := e.Containers.Start(ctx, container, engine.Streams{}, engine.WinSize{})
	if err != nil {
		return err
	}
	session.Close() // the container runs on
	following, cancel := context.WithCancel(ctx)
	lines := &lines{out: out, left: 3, enough: cancel}
	err = container.Logs(following, engine.LogOptions{Follow: true, Tail: -1}, lines, lines)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// lines passes on some lines, each of which is one Write of the engine's, and then says that this is enough.
type lines struct {
	out    io.Writer
	left   int
	enough func()
}

func (l *lines) Write(line []byte) (int, error) {
	if l.left == 0 {
		return len(line), nil
	}
	if l.left--; l.left == 0 {
		l.enough()
	}
	return l.out.Write(line)
}
