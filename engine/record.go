package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/internal/strictjson"
)

// The files of a container's record. What does not depend on the host and what does are apart, by Docker's names for
// them.
const (
	configFile     = "config.v2.json"
	hostConfigFile = "hostconfig.json"
	stateFile      = "state.json"
	lockFile       = "lock"
)

const (
	// oldConfigFile is the name of configFile until version 2 of the record. A link of this name has older versions see
	// the container: they take a directory without such a file for an unfinished container, and remove it.
	oldConfigFile = "config.json"
	// unfinishedFile is in the directory of a container that is being made.
	unfinishedFile = "unfinished"
	// removedFile is the configuration of a container that is being removed.
	removedFile = "removed.json"
)

// recordVersion is the version of the record, which configFile and stateFile tell. It grows when an older program would
// misread the record. A new setting alone is no reason: a program that does not know it refuses to start the container.
const recordVersion = 2

// writeState writes what last happened to the container.
func (c *Container) writeState() error {
	c.State.Version = recordVersion
	return atomicfile.WriteJSON(c.path(stateFile), c.State)
}

// checkVersion refuses a record that only a newer program reads rightly. Such a container can be listed and removed.
func (c *Container) checkVersion() error {
	if newest := max(c.Version, c.State.Version); newest > recordVersion {
		return fault.Errorf(errdefs.ErrNotImplemented, "the record of container %s is of version %d, and this program "+
			"knows version %d: start the container with the program that wrote it, or with a newer one", c.Name, newest,
			recordVersion)
	}
	return nil
}

// write makes the record complete. The configuration file comes last: without it the container does not exist.
func (c *Container) write() error {
	if err := atomicfile.WriteJSON(c.path(hostConfigFile), c.HostConfig); err != nil {
		return err
	}
	if err := c.writeState(); err != nil {
		return err
	}
	if err := os.Symlink(configFile, c.path(oldConfigFile)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write container record: %w", err)
	}
	c.Version = recordVersion
	if err := atomicfile.WriteJSON(c.path(configFile), c); err != nil {
		return err
	}
	if err := os.Remove(c.path(unfinishedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write container record: %w", err)
	}
	return nil
}

// load reads the record of the container with the full id and finds out whether it runs. A record that is lost in whole
// or in part is an error of the class data loss: the container's data may still be there.
func (d Dirs) load(id string) (*Container, error) {
	c, err := d.read(id)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	missing := err
	switch presence, err := recordIn(d.Container(id)); {
	case err != nil:
		return nil, err
	case presence == lost:
		return nil, lostRecord(missing)
	case presence == unfinished:
		return nil, noContainer(id)
	}
	c, err = d.read(id) // it was being made or removed, unless a file of it is lost
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return c, err
	case isThere(d.Container(id), configFile):
		return nil, lostRecord(err)
	}
	return nil, noContainer(id)
}

// lostRecord is the error of a record of which a file is missing.
func lostRecord(missing error) error {
	return fault.Errorf(errdefs.ErrDataLoss, "the record of a container is lost, and its data is kept: %w", missing)
}

// read reads the files of a record. An error that one of them is missing is an fs.ErrNotExist.
func (d Dirs) read(id string) (*Container, error) {
	c := &Container{dirs: d}
	if err := c.readConfig(d.Container(id)); err != nil {
		return nil, err
	}
	if c.ID != id {
		return nil, fault.Errorf(errdefs.ErrDataLoss, "read container record %s: it names another id, %q",
			filepath.Join(d.Container(id), configFile), c.ID)
	}
	if len(commandOf(&c.Config)) == 0 {
		return nil, fault.Errorf(errdefs.ErrDataLoss, "read container record %s: it names no command",
			c.path(configFile))
	}
	err := readJSON(c.path(hostConfigFile), &c.HostConfig)
	if err == nil {
		err = c.refresh()
	}
	return c, err
}

// readConfig reads the configuration, which a version before the second may have written.
func (c *Container) readConfig(dir string) error {
	err := readJSON(filepath.Join(dir, configFile), c)
	if !errors.Is(err, fs.ErrNotExist) || !isThere(dir, oldConfigFile) {
		return err
	}
	old := oldRecord{Container: c}
	if err := readJSON(filepath.Join(dir, oldConfigFile), &old); err != nil {
		return err
	}
	old.complete()
	return nil
}

// oldRecord is the form of config.json. It kept the ports that an image exposes as they were, whatever they were.
type oldRecord struct {
	*Container
	Config oldConfig
}

type oldConfig struct {
	Config
	ExposedPorts map[string]struct{}
}

// complete puts the configuration in its place. What is exposed and is no port never had an effect; it is left out.
func (r *oldRecord) complete() {
	r.Container.Config = r.Config.Config
	r.Container.Config.ExposedPorts, _ = ExposedPorts(r.Config.ExposedPorts)
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read container record: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fault.Errorf(errdefs.ErrDataLoss, "read container record %s: %w", path, err)
	}
	return nil
}

// checkRecord refuses a record with settings that this version does not know, and would leave out: a newer version made
// the container with a limit, say. It can be listed and removed all the same.
func (c *Container) checkRecord() error {
	if err := checkFile(c.path(hostConfigFile), &HostConfig{}); err != nil {
		return err
	}
	if isThere(c.dir(), configFile) {
		return checkFile(c.path(configFile), &Container{})
	}
	return checkFile(c.path(oldConfigFile), &oldRecord{Container: &Container{}})
}

func checkFile(path string, into any) error {
	text, err := os.ReadFile(path)
	if err == nil {
		err = strictjson.Decode(text, into)
	}
	if err != nil {
		return fmt.Errorf("read container record %s: %w", path, err)
	}
	return nil
}

// presence is what the directory of a container says of its record.
type presence int

const (
	unfinished presence = iota // the container is being made or removed, or the process that did so was killed
	recorded                   // there is a configuration
	lost                       // there is something else, and no configuration
)

// recordIn looks at the directory of a container, which may be gone.
func recordIn(dir string) (presence, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return unfinished, nil
	}
	if err != nil {
		return unfinished, fmt.Errorf("look at a container's record: %w", err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(names, func(entry fs.DirEntry) bool { return entry.Name() == name })
	}
	switch {
	case has(configFile) || isThere(dir, configFile) || isThere(dir, oldConfigFile):
		return recorded, nil
	case has(unfinishedFile) || has(removalFile) || has(removedFile):
		return unfinished, nil
	case slices.ContainsFunc(names, func(entry fs.DirEntry) bool { return !strings.HasPrefix(entry.Name(), lockFile) }):
		return lost, nil
	}
	return unfinished, nil // it has a lock at most, which is what its maker begins with
}

// isThere tells whether a file is in a directory. A link to nothing is not.
func isThere(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// markUnfinished has the directory of a new container be that of an unfinished one.
func markUnfinished(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, unfinishedFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	return file.Close()
}

// unrecord takes the configuration from a container's directory, which is then that of one that is being removed. It
// needs no room on the disk.
func unrecord(dir string) error {
	old, removed := filepath.Join(dir, oldConfigFile), filepath.Join(dir, removedFile)
	err := os.Rename(filepath.Join(dir, configFile), removed)
	if errors.Is(err, fs.ErrNotExist) && isThere(dir, oldConfigFile) {
		err = os.Rename(old, removed)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(old)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove container: %w", err)
	}
	return nil
}

// readRemoved reads the configuration of a container that is being removed.
func (c *Container) readRemoved() error {
	record := oldRecord{Container: c} // which has the form of today, too
	if err := readJSON(c.path(removedFile), &record); err != nil {
		return err
	}
	record.complete()
	return nil
}

// removeDir removes a container's directory, at last what says that the container is not whole.
func removeDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove container: %w", err)
	}
	for _, entry := range entries {
		if slices.Contains([]string{unfinishedFile, removalFile, removedFile, lockFile}, entry.Name()) {
			continue
		}
		if err := rmtree.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove container: %w", err)
		}
	}
	if err := rmtree.Remove(dir); err != nil {
		return fmt.Errorf("remove container: %w", err)
	}
	return nil
}
