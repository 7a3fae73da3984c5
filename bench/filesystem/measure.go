package filesystem

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rcrun/rcrun/bench/workload"
	"golang.org/x/sys/unix"
)

// measureMain is the stage that measures.
func measureMain() error { return serveRequest(request.measure) }

// request tells what to measure.
type request struct {
	Options
	Place string // an empty directory to work in
}

// measure has every subject take its turn in every measurement of every round. It notes a failure in the row, once, and
// goes on with the others.
func (r request) measure() ([]Row, error) {
	if err := enter(r.Place); err != nil {
		return nil, err
	}
	subjects, err := r.chooseSubjects()
	if err != nil {
		return nil, err
	}
	measurements, err := r.chooseMeasurements()
	if err != nil {
		return nil, err
	}
	trees, err := prepareTrees(r, measurements)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(measurements))
	for i, m := range measurements {
		rows[i] = Row{Group: m.group, Name: m.name, Unit: m.unit, Values: map[string][]float64{},
			Failed: map[string]string{}}
	}
	for round := range r.Rounds {
		for i, m := range measurements {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, r.Rounds, m.name)
			for turn := range subjects {
				s := subjects[(turn+round)%len(subjects)] // so that no subject always follows the same one
				rows[i].add(s.name(), func() (float64, error) { return m.on(s, trees) })
			}
		}
	}
	return rows, nil
}

// enter makes dir the working directory, which keeps the options of mounts short, and mounts in it a /proc that shows
// this pid namespace.
func enter(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("enter the working directory: %w", err)
	}
	if err := os.Mkdir(procDir, 0o755); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.Mount("proc", procDir, "proc", 0, ""); err != nil {
		fmt.Fprintln(os.Stderr, "memory cannot be measured: mount proc:", err)
	}
	return nil
}

// add records a value for a subject, unless the subject failed in an earlier round.
func (r *Row) add(subject string, take func() (float64, error)) {
	if r.Failed[subject] != "" {
		return
	}
	value, err := take()
	switch {
	case errors.Is(err, errNothing):
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s, %s: %v\n", subject, r.Name, err)
		r.Failed[subject] = err.Error()
		delete(r.Values, subject)
	default:
		r.Values[subject] = append(r.Values[subject], value)
	}
}

// measurement is a row of the report while it is measured.
type measurement struct {
	group, name, unit string
	needs             string // as those of workload.Entry
	layers            int
	changes           bool
	options           string // as those of workload.Entry
	take              func(t *trial) (float64, error)
}

// errNothing tells that a subject has nothing to measure.
var errNothing = errors.New("nothing to measure")

// trial is one measurement on one subject.
type trial struct {
	subject subject
	stack   stack
	mounted *mounted // nil while it is not
}

// on measures on a subject that it mounts again, and leaves it unmounted and clean.
func (m measurement) on(s subject, trees trees) (value float64, err error) {
	stack := trees.stack(m.layers)
	stack.spoils = m.changes
	stack.options = m.options
	stack.place = filepath.Join(trees.dir, s.name())
	if err := os.MkdirAll(stack.place, 0o755); err != nil {
		return 0, err
	}
	t := &trial{subject: s, stack: stack}
	defer func() { err = errors.Join(err, t.unmount(), s.clean(stack)) }()
	return m.take(t)
}

func (t *trial) mount() (err error) {
	t.mounted, err = t.subject.mount(t.stack)
	return err
}

func (t *trial) unmount() error {
	if t.mounted == nil {
		return nil
	}
	err := t.mounted.unmount()
	t.mounted = nil
	return err
}

// timed measures the Run of a workload, in seconds. It first flushes what was written before to the disk.
func timed(e workload.Entry) measurement {
	take := func(t *trial) (float64, error) {
		if err := t.setUp(e); err != nil {
			return 0, fmt.Errorf("set up: %w", err)
		}
		unix.Sync()
		start := time.Now()
		err := e.Run(t.mounted.root)
		return time.Since(start).Seconds(), err
	}
	return measurement{group: e.Group, name: e.Name, unit: "s", needs: e.Needs, layers: e.Layers, changes: e.Changes,
		options: e.Options, take: take}
}

func (t *trial) setUp(e workload.Entry) error {
	if err := t.mount(); err != nil {
		return err
	}
	if err := e.Setup(t.mounted.root); err != nil {
		return err
	}
	if !e.Remount {
		return nil
	}
	if err := t.unmount(); err != nil {
		return err
	}
	return t.mount()
}

// mountTime measures a mount up to its first answer, in seconds.
func mountTime(name string, layers int) measurement {
	return measurement{group: "mount", name: name, unit: "s", layers: layers, take: func(t *trial) (float64, error) {
		if (t.subject == plain{}) {
			return 0, errNothing
		}
		start := time.Now()
		if err := t.mount(); err != nil {
			return 0, err
		}
		_, err := os.ReadDir(t.mounted.root)
		return time.Since(start).Seconds(), err
	}}
}

// memory measures the memory of the server after a walk of the tree, in MiB.
func memory() measurement {
	return measurement{group: "memory", name: "memory after a walk", unit: "MiB",
		take: func(t *trial) (float64, error) {
			if err := t.mount(); err != nil {
				return 0, err
			}
			if t.mounted.server == nil {
				return 0, errNothing
			}
			if err := workload.Walk(t.mounted.root); err != nil {
				return 0, err
			}
			bytes, err := t.mounted.server.resident()
			return float64(bytes) / (1 << 20), err
		}}
}

// chooseMeasurements returns the measurements that were asked for and that this machine can make.
func (r request) chooseMeasurements() ([]measurement, error) {
	var all []measurement
	for _, e := range workload.All(workload.Config{Scale: r.Scale, Archive: archivePath(r.Place),
		Owner: otherOwner()}) {
		if _, err := exec.LookPath(e.Needs); e.Needs != "" && err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", e.Name, err)
			continue
		}
		if e.Debian && r.Tree == "" {
			fmt.Fprintf(os.Stderr, "%s is left out: the tree is made up\n", e.Name)
			continue
		}
		all = append(all, timed(e))
	}
	all = append(all, mountTime("mount, tree", 0), mountTime("mount, 256 layers", 256), memory())
	chosen := slices.DeleteFunc(all, func(m measurement) bool {
		return !strings.Contains(m.name, r.Only) &&
			m.group != r.Only
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no measurement matches %q", r.Only)
	}
	return chosen, nil
}

// chooseSubjects returns the subjects that were asked for, in that order, or all that are installed.
func (r request) chooseSubjects() ([]subject, error) {
	all := append([]subject{plain{}, overlay{}}, programs(r.Options)...)
	if len(r.Subjects) == 0 {
		return all, nil
	}
	var chosen []subject
	for _, name := range r.Subjects {
		i := slices.IndexFunc(all, func(s subject) bool { return s.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("subject %q is not installed", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// otherOwner returns an owner that files can be given: the first user after root, where more than root is mapped.
func otherOwner() string {
	if os.Lchown(".", 1, 1) != nil {
		return "+0:+0"
	}
	os.Lchown(".", 0, 0) // as before, which is allowed if the other was
	return "+1:+1"
}
