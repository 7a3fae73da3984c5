package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine/events"
	"github.com/rcrun/rcrun/internal/process"
)

// Container is the record of one container as it is kept on disk: config.v2.json and hostconfig.json never change
// after its creation, and only the process that holds the container's lock writes state.json.
type Container struct {
	Version    int        `json:"Version,omitempty"` // of the record, as recordVersion has it
	ID         string     `json:"Id"`
	Name       string     `json:"Name"`
	Created    time.Time  `json:"Created"`
	ImageID    string     `json:"Image"`
	ImageName  string     `json:"ImageName"`
	Config     Config     `json:"Config"`
	HostConfig HostConfig `json:"-"`
	State      State      `json:"-"`

	dirs      Dirs
	monitored bool // when the state was read, a monitor held the lock; also while that removes the container at its end
}

// State is what last happened to a container.
type State struct {
	Version   int // as recordVersion; 0 in what the first version wrote
	Status    Status
	Pid       int        // of the payload on the host; 0 unless running
	Init      process.ID // the same process as Pid
	Monitor   process.ID
	RunDir    string // the run directory that the monitor uses
	ExitCode  int
	Error     string // why it could not start or ended by force
	StartedAt time.Time
	Ports     network.PortMap // what is published on the host while it runs
	// NetworkProblem is why a running container has no network although it should; usually nothing.
	NetworkProblem string
	FinishedAt     time.Time // zero where the monitor was killed and nobody saw the end
	// StopRequested: a user asked for the end of the container, by stop or kill, since it was started. No policy may
	// start it again.
	StopRequested bool
}

// killedExit is the exit code of a container whose monitor was killed: the sandbox then kills the payload.
const (
	killedExit    = 137
	monitorKilled = "the monitor was killed"
)

func (c *Container) dir() string             { return c.dirs.Container(c.ID) }
func (c *Container) path(name string) string { return filepath.Join(c.dir(), name) }
func (c *Container) lockPath() string        { return c.path(lockFile) }
func (c *Container) tryLock() (*lock, error) { return tryLock(c.lockPath()) }
func (c *Container) setRunDir(dirs Dirs)     { c.State.RunDir = dirs.runtimeDir(c.ID) }

// refresh reads the state again. What it says of a running container holds only if a monitor has the lock.
func (c *Container) refresh() error {
	// The lock is looked at first: a monitor that ends in between has written the final state by then.
	alive := locked(c.lockPath())
	if err := readJSON(c.path(stateFile), &c.State); err != nil {
		return err
	}
	c.monitored = alive && c.State.Status.Up()
	if c.State.Status.Up() && !alive {
		c.State.monitorKilled()
	}
	return c.applyRemoval()
}

// settle is refresh for the holder of the lock, but for a removal that has begun: a state that says running is a killed
// monitor's, and is put right on disk, so that its process ids are never taken for those of the next one.
func (c *Container) settle(journal *events.Journal) error {
	if err := readJSON(c.path(stateFile), &c.State); err != nil {
		return err
	}
	if !c.State.Status.Up() {
		return nil
	}
	if err := c.State.endInit(); err != nil {
		return err
	}
	c.State.monitorKilled()
	if err := c.writeState(); err != nil {
		return err
	}
	c.reportKilled(journal)
	return nil
}

// endInit ends the first process of a container whose monitor was killed, and with it all others. The kernel does that
// only as long as the process has not changed its user: a change of credentials takes it back, and so may the process.
// The caller holds the lock: without, a monitor may have started since the lock was looked at.
func (s *State) endInit() error {
	if err := s.Init.Kill(); err != nil {
		return err
	}
	_, err := s.Init.Wait(context.Background(), endTime)
	return err
}

// endLeft ends what a killed monitor has left running, for the holder of the lock. A state that cannot be read tells of
// nothing.
func (c *Container) endLeft(journal *events.Journal) error {
	var state State
	if err := readJSON(c.path(stateFile), &state); err != nil || !state.Status.Up() {
		return nil
	}
	if err := state.endInit(); err != nil {
		return err
	}
	c.reportKilled(journal)
	return nil
}

func (s *State) monitorKilled() {
	s.Status, s.Pid, s.Monitor, s.NetworkProblem = Exited, 0, process.ID{}, ""
	s.Init = process.ID{}
	s.ExitCode, s.Error = killedExit, monitorKilled
}

// ids lists the ids of all containers, complete or not.
func (d Dirs) ids() ([]string, error) {
	entries, err := os.ReadDir(d.containers())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		if entry.IsDir() {
			ids = append(ids, entry.Name())
		}
	}
	return ids, nil
}

// Lookup finds a container by name, by full id or by a prefix of the id that fits no other.
func (e *Engine) Lookup(ctx context.Context, ref string) (*Container, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	id, err := e.Dirs.resolve(ref)
	if err != nil {
		return nil, err
	}
	return e.Dirs.load(id)
}

// resolve finds the id of a container, whose record need not be readable. A name may have the slash in front with
// which inspect prints it.
func (d Dirs) resolve(ref string) (id string, err error) {
	if name := strings.TrimPrefix(ref, "/"); validName(name) {
		if id, err := os.Readlink(filepath.Join(d.names(), name)); err == nil {
			return id, nil
		}
	}
	ids, err := d.ids()
	if err != nil {
		return "", err
	}
	var found []string
	for _, id := range ids {
		if ref != "" && strings.HasPrefix(id, ref) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return "", noContainer(ref)
	case 1:
		return found[0], nil
	}
	return "", invalidf("container id prefix %s is ambiguous: it fits %s", ref, strings.Join(found, ", "))
}

// List returns all containers, the newest first. One whose record cannot be read is left out and reported in
// broken, so that it does not hide the others.
func (e *Engine) List(ctx context.Context) (list []*Container, broken []error, err error) {
	ids, err := e.Dirs.ids()
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		c, err := e.Dirs.load(id)
		switch {
		case errdefs.IsNotFound(err): // being made, or being removed
		case err != nil:
			broken = append(broken, err)
		default:
			list = append(list, c)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Created.After(list[j].Created) })
	return list, broken, nil
}
