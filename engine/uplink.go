package engine

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/rcrun/rcrun/rootless"
)

// The pauses between attempts to start slirp4netns again.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// pace spaces the starts of slirp4netns, which a container may be able to end as soon as it runs.
type pace struct{ pause time.Duration }

// next returns how long to wait before another start, given how long the last one has run; 0 is not at all. The first
// start is at once, and so is that after one which ran for long.
func (p *pace) next(lived time.Duration) time.Duration {
	if lived > lastPause {
		p.pause = 0
	}
	wait := p.pause
	p.pause = min(max(firstPause, 2*wait), lastPause)
	return wait
}

// uplink is the network of a container: a slirp4netns that is started again where it has ended by itself.
type uplink struct {
	config rootless.SlirpConfig
	runDir func() string // where the control socket can be, now
	ctx    context.Context
	cancel context.CancelFunc
	kept   sync.WaitGroup

	// used by keep alone while that runs
	slirp   *rootless.Slirp // the one that runs, or the last
	started time.Time
	pace    pace
}

// openUplink makes the network of config, whose RunDir is what runDir returns, unless ctx ends before it works.
func openUplink(ctx context.Context, config rootless.SlirpConfig, runDir func() string) (*uplink, error) {
	config.RunDir = runDir()
	u := &uplink{config: config, runDir: runDir, started: time.Now()}
	var err error
	if u.slirp, err = rootless.StartSlirp(ctx, config); err != nil {
		return nil, err
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.config.Ports = u.slirp.Ports() // the next one has the same
	return u, nil
}

// keep starts to relay what slirp4netns does not forward itself, and to watch it. It tells changed what is wrong with
// the network, "" when nothing is any more.
func (u *uplink) keep(dial rootless.DialFunc, changed func(problem string)) {
	u.slirp.Serve(dial)
	u.kept.Go(func() {
		for {
			select {
			case <-u.ctx.Done():
				return
			case <-u.slirp.Done():
			}
			if u.ctx.Err() != nil {
				return
			}
			u.restart(dial, changed)
		}
	})
}

// restart starts slirp4netns again, as often as it takes.
func (u *uplink) restart(dial rootless.DialFunc, changed func(problem string)) {
	changed("slirp4netns ended while the container ran")
	for lived := time.Since(u.started); ; lived = 0 {
		u.close(u.slirp)
		select {
		case <-u.ctx.Done():
			return
		case <-time.After(u.pace.next(lived)):
		}
		u.config.RunDir = u.runDir()
		slirp, err := rootless.StartSlirp(u.ctx, u.config)
		if err == nil {
			u.slirp, u.started = slirp, time.Now()
			if slirp.Warning() != "" {
				slog.Warn(slirp.Warning())
			}
			slirp.Serve(dial)
			changed("")
			return
		}
		if u.ctx.Err() != nil {
			return
		}
		changed("slirp4netns ended while the container ran, and does not start again: " + err.Error())
	}
}

func (u *uplink) close(slirp *rootless.Slirp) {
	if err := slirp.Close(); err != nil {
		slog.Error("take the network down", "error", err)
	}
}

// end takes the network down. Nothing is told to changed afterwards.
func (u *uplink) end() {
	u.cancel()
	u.kept.Wait()
	u.close(u.slirp)
}

// dialPort opens a socket in the container that is connected to one of its UDP ports.
func (r *run) dialPort(ctx context.Context, port uint16) (net.Conn, error) {
	return r.box.DialUDP(ctx, netip.AddrPortFrom(netip.MustParseAddr(rootless.SlirpAddress), port))
}
