package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/internal/wire"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
)

// run is one run of a container's payload: what bringUp starts and takeDown ends. A monitor that starts its
// container again makes another one, with the same lock, log and sockets.
type run struct {
	m        *monitor
	ids      rootless.Map
	network  string
	warnings []string

	fuse    *fuseServer // nil for a root without one
	uplink  *uplink     // nil for a network without one
	box     *runtime.Container
	stdin   *stdin         // nil where no client can write to it
	copying sync.WaitGroup // the goroutines that pass the payload's output on
	execs   execTable
	frozen  freezing

	signals     sync.Mutex // held while a signal is sent and its event written
	stopAsked   bool       // by a stop, and not by a signal alone; guarded by signals
	endReported bool       // guarded by signals

	payloadEnded chan struct{}
}

// bringUp starts the payload, or undoes what it did. At the first run the clients are attached before the payload can
// write anything; at another one, first is nil.
func (m *monitor) bringUp(first *attachment) (*run, error) {
	r := &run{m: m, payloadEnded: make(chan struct{})}
	err := r.plan()
	if err == nil {
		err = m.c.writeNetworkFiles(r.network)
	}
	if err == nil {
		err = r.create()
	}
	if err == nil {
		err = m.begin(r, first)
	}
	if err != nil {
		r.takeDown()
		return nil, err
	}
	return r, nil
}

// begin makes the run the current one and executes its payload.
func (m *monitor) begin(r *run, first *attachment) error {
	r.connectConsole(m.size)
	m.mu.Lock()
	m.run = r
	m.mu.Unlock()
	if first != nil {
		m.attachAll(first)
	}
	// Recorded first: a process that sees what the payload does must find it running.
	if err := m.recordStart(r); err != nil {
		return err
	}
	if err := r.box.Start(context.Background()); err != nil {
		return err
	}
	m.reportStart(r)
	return nil
}

// attachAll attaches the client that starts the container, and all who waited for that.
func (m *monitor) attachAll(first *attachment) {
	m.attach(first)
	if first.isAttached() {
		m.report(api.ActionAttach, nil)
	}
	m.attachWaiters()
}

// plan chooses the ids and the network.
func (r *run) plan() (err error) {
	c := r.m.c
	r.ids, r.warnings, err = rootless.PlanMap(string(c.HostConfig.UsernsMode), rootless.CurrentCaller())
	if err != nil {
		return err
	}
	network, warning, err := c.chooseNetwork()
	if err != nil {
		return err
	}
	if warning != "" {
		r.warnings = append(r.warnings, warning)
	}
	r.network, r.warnings = network, append(r.warnings, c.warnOfUser()...)
	return nil
}

// create has the runtime set everything up but the payload.
func (r *run) create() error {
	spec, err := r.m.c.spec(r.ids)
	if err != nil {
		return err
	}
	config := runtime.Config{Spec: spec, Dir: r.m.rootDir(), Init: r.m.c.HostConfig.wantsInit(), MapIDs: r.ids.Write,
		OpenMounts: r.m.c.HostConfig.Privileged, LogFile: r.m.journal.stages}
	if err := r.chooseRoot(&config); err != nil {
		return err
	}
	if r.network == networkSlirp {
		config.Network = r.attachNetwork
	}
	var theirs [3]*os.File
	if !r.m.c.Config.Tty {
		if theirs, err = r.makePipes(); err != nil {
			return err
		}
		defer wire.CloseFiles(theirs[:])
		config.Stdin, config.Stdout, config.Stderr = theirs[0], theirs[1], theirs[2]
	}
	if r.box, err = runtime.Create(context.Background(), config); err != nil {
		if cause := rootless.RequireUserNamespaces(); cause != nil {
			return fmt.Errorf("%w (%w)", err, cause)
		}
		return err
	}
	r.warnings = append(r.warnings, r.box.Warnings()...)
	if r.uplink != nil && r.uplink.slirp.Warning() != "" {
		r.warnings = append(r.warnings, r.uplink.slirp.Warning())
	}
	return nil
}

// chooseRoot decides how the root filesystem appears, and starts the server of one of our own.
func (r *run) chooseRoot(config *runtime.Config) error {
	switch {
	case r.m.root.Bind != nil:
		config.RootKind, config.RootConfig = rootBind, r.m.root.Bind
	case r.m.root.Overlay != nil:
		config.RootKind, config.RootConfig = rootOverlay, r.m.root.Overlay
	case r.m.root.Union != nil:
		return r.serveRoot(config)
	default:
		return errors.New("start the container: it was not told what its root filesystem is")
	}
	return nil
}

// serveRoot starts the server of a union of our own.
func (r *run) serveRoot(config *runtime.Config) (err error) {
	if err := rootless.RequireFuse(); err != nil {
		return err
	}
	if r.fuse, err = startFuse(*r.m.root.Union, r.ids, r.m.journal.stages); err != nil {
		return err
	}
	config.RootKind, config.RootFD = rootFuse, r.fuse.serve
	config.RootConfig = fuseRoot{UID: r.ids.UIDs[0].Container, GID: r.ids.GIDs[0].Container}
	return nil
}

// attachNetwork is called when the network namespace of process pid exists.
func (r *run) attachNetwork(ctx context.Context, pid int) error {
	ports, err := r.m.c.portMappings()
	if err != nil {
		return err
	}
	r.uplink, err = openUplink(ctx, rootless.SlirpConfig{PID: pid, Ports: ports}, r.m.socketDir)
	return err
}

// makePipes makes the payload's standard streams and returns its ends. Our ends of the outputs are copied from right
// away; that of the input waits for a client.
func (r *run) makePipes() (theirs [3]*os.File, err error) {
	if r.m.c.Config.OpenStdin {
		read, write, err := newPipe()
		if err != nil {
			return theirs, err
		}
		theirs[0], r.stdin = read, &stdin{sink: write, closes: r.m.c.Config.StdinOnce}
	} else if theirs[0], err = os.Open(os.DevNull); err != nil {
		return theirs, fmt.Errorf("create standard input: %w", err)
	}
	for i, out := range []*output{r.m.out, r.m.err} {
		read, write, err := newPipe()
		if err != nil {
			wire.CloseFiles(theirs[:])
			return theirs, err
		}
		theirs[i+1] = write
		r.copying.Go(func() {
			out.copyFrom(read)
			read.Close()
		})
	}
	return theirs, nil
}

// connectConsole connects the payload's terminal, if it has one.
func (r *run) connectConsole(size WinSize) {
	if console := r.box.Console(); console != nil {
		r.resize(size)
		r.stdin = &stdin{sink: console}
		r.copying.Go(func() { r.m.out.copyFrom(console) })
	}
}

// resize gives the payload's terminal a size, and tells whether it has it. A terminal without a size works, and what is
// no terminal needs none.
func (r *run) resize(size WinSize) bool {
	return size.Rows != 0 && r.box.Resize(size.Rows, size.Cols) == nil
}

// watchServer kills the container when its filesystem server dies.
func (r *run) watchServer() {
	if r.fuse == nil {
		return
	}
	<-r.fuse.done
	if r.fuse.err != nil {
		r.box.Kill() // an error means that the container has ended already
	}
}

// serverDeath says how the filesystem server died under the container, "" where it did not. It is called after
// takeDown, which waits for the server.
func (r *run) serverDeath() string {
	if r.fuse == nil || r.fuse.err == nil {
		return ""
	}
	return fmt.Sprintf("the filesystem server died (%v)", r.fuse.err)
}

// takeDown ends everything that bringUp began. It waits for each, so that nothing is left afterwards.
func (r *run) takeDown() {
	if r.box != nil {
		if err := r.box.Close(); err != nil {
			slog.Error("end the container", "error", err)
		}
	}
	if r.uplink != nil {
		r.uplink.end()
	}
	if r.fuse != nil {
		r.fuse.stop(serverEndTime)
	}
}
