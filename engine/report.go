package engine

import (
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	api "github.com/moby/moby/api/types/events"
	"github.com/rcrun/rcrun/engine/events"
)

// What is done with containers is written to the journal of events by the process that does it, in Docker's form and
// after it has been done. A container without a complete record has no events.

// Events is the directory of the journal of events.
func (d Dirs) Events() string { return filepath.Join(d.Data, "events") }

// report writes an event of the container to a journal.
func (c *Container) report(journal *events.Journal, action api.Action, attributes map[string]string) {
	journal.Record(api.ContainerEventType, action, api.Actor{ID: c.ID, Attributes: c.eventAttributes(attributes)})
}

// Report writes an event of something that has been done with a container from outside of this package.
func (e *Engine) Report(c *Container, action api.Action, attributes map[string]string) {
	c.report(e.events, action, attributes)
}

// eventAttributes returns attributes with those that each event of the container has: its labels, image and name. As
// with Docker, a label hides another attribute of the same key.
func (c *Container) eventAttributes(attributes map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, attributes)
	maps.Copy(all, c.Config.Labels)
	if c.ImageName != "" {
		all["image"] = c.ImageName
	}
	all["name"] = c.Name
	return all
}

// reportKilled writes that the container ended with its monitor, for the process that finds it so and has the lock. No
// process saw the end, so the event does not say how long the container ran.
func (c *Container) reportKilled(journal *events.Journal) {
	c.report(journal, api.ActionDie, map[string]string{"exitCode": strconv.Itoa(killedExit)})
}

// report writes an event of the monitor's container.
func (m *monitor) report(action api.Action, attributes map[string]string) {
	m.c.report(m.events, action, attributes)
}

// reportSignal writes that a signal was sent.
func (m *monitor) reportSignal(sig syscall.Signal) {
	m.report(api.ActionKill, map[string]string{"signal": strconv.Itoa(int(sig))})
}

// reportSize writes that the container's terminal has a size.
func (m *monitor) reportSize(size WinSize) {
	m.report(api.ActionResize, map[string]string{"height": strconv.Itoa(int(size.Rows)),
		"width": strconv.Itoa(int(size.Cols))})
}

// reportStart writes that the payload runs. A terminal has its first size by then.
func (m *monitor) reportStart(r *run) {
	m.report(api.ActionStart, nil)
	if r.box.Console() != nil && m.size.Rows != 0 {
		m.reportSize(m.size)
	}
}

// reportEnd writes, at its first call for a run, how the container ended, and that it was stopped if a stop asked for
// that. A signal that is just being sent is written first.
func (m *monitor) reportEnd() {
	r := m.current()
	r.signals.Lock()
	defer r.signals.Unlock()
	if r.endReported {
		return
	}
	r.endReported = true
	m.report(api.ActionDie, map[string]string{"exitCode": strconv.Itoa(m.exit.Code),
		"execDuration": strconv.Itoa(int(time.Since(m.state().StartedAt).Seconds()))})
	if r.stopAsked {
		m.report(api.ActionStop, nil)
	}
}

// reportExec writes what is done with a further process.
func (m *monitor) reportExec(action api.Action, id string, attributes map[string]string) {
	all := map[string]string{"execID": id}
	maps.Copy(all, attributes)
	m.report(action, all)
}

// execAction is an action of a further process in Docker's form: after a colon come the program, a space and the
// arguments.
func execAction(action api.Action, args []string) api.Action {
	program, rest := "", args
	if len(args) > 0 {
		program, rest = args[0], args[1:]
	}
	return action + api.Action(": "+program+" "+strings.Join(rest, " "))
}
