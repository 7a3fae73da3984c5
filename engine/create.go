package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine/request"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/internal/strictjson"
)

// CreateOptions describe a container to be made.
type CreateOptions struct {
	Name       string // empty: one is drawn
	Config     Config
	HostConfig HostConfig
	// NetworkingConfig may name the network that HostConfig names.
	NetworkingConfig network.NetworkingConfig
}

// Image is the image that a container is made of.
type Image struct {
	ID     string
	Config Config // what holds where the container's own says nothing
}

// Create makes a container without starting it, of an image in the store; nil where the root is a directory. Its
// options have been validated.
func (e *Engine) Create(ctx context.Context, options CreateOptions, image *Image) (*Container, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := checkLimits(); err != nil {
		return nil, err
	}
	c := &Container{Created: time.Now().UTC(), Config: options.Config, HostConfig: options.HostConfig, dirs: e.Dirs}
	c.State.Status = Created
	if image != nil {
		merge(&c.Config, image.Config)
		c.ImageID, c.ImageName = image.ID, options.Config.Image
	}
	c.publishExposed()
	if len(c.Config.Entrypoint)+len(c.Config.Cmd) == 0 {
		return nil, invalidf("no command specified, and the image names none")
	}
	if err := e.sweep(ctx); err != nil {
		return nil, err
	}
	return c, e.build(ctx, c, options.Name)
}

// build writes the container to disk, or leaves nothing.
func (e *Engine) build(ctx context.Context, c *Container, name string) (err error) {
	if c.ID, err = newID(rand.Reader); err != nil {
		return err
	}
	if err := os.Mkdir(c.dir(), 0o700); err != nil {
		return fmt.Errorf("create container directory: %w", err)
	}
	held, err := newLock(c.lockPath())
	if err != nil {
		return errors.Join(err, rmtree.Remove(c.dir()))
	}
	defer held.release()
	defer func() {
		if err != nil {
			err = errors.Join(err, e.erase(context.WithoutCancel(ctx), c.ID, func() {}))
		}
	}()
	if err := markUnfinished(c.dir()); err != nil {
		return err
	}
	if err := c.chooseHostname(); err != nil {
		return err
	}
	if err := e.nameContainer(ctx, c, name); err != nil {
		return err
	}
	if err := e.makeLayers(ctx, c); err != nil {
		return err
	}
	if err := c.write(); err != nil {
		return err
	}
	if c.HostConfig.ContainerIDFile != "" {
		if err := writeCIDFile(c.HostConfig.ContainerIDFile, c.ID); err != nil {
			return err
		}
	}
	c.report(e.events, events.ActionCreate, nil)
	return nil
}

// chooseHostname gives the container the host name that its network implies, unless the user named one.
func (c *Container) chooseHostname() (err error) {
	switch {
	case c.Config.Hostname != "":
	case c.network() == networkHost:
		if c.Config.Hostname, err = os.Hostname(); err != nil {
			return fmt.Errorf("find the host's name: %w", err)
		}
	default:
		c.Config.Hostname = ShortID(c.ID)
	}
	return nil
}

func (e *Engine) nameContainer(ctx context.Context, c *Container, name string) (err error) {
	if name != "" {
		c.Name = name
		return e.Dirs.reserveName(ctx, name, c.ID)
	}
	c.Name, err = e.Dirs.reserveRandomName(ctx, c.ID, defaultDraw)
	return err
}

// makeLayers makes the read-write layer in the store and the init layer in the container's directory. A container
// that runs directly in a directory of the user's has neither.
func (e *Engine) makeLayers(ctx context.Context, c *Container) error {
	if c.HostConfig.Rootfs != "" && !c.HostConfig.RootfsOverlay {
		return nil
	}
	store, err := e.OpenStore(ctx)
	if err != nil {
		return err
	}
	quota, err := layerfmt.ParseQuota(c.HostConfig.StorageOpt)
	if err != nil {
		return err
	}
	if err := store.CreateContainer(ctx, c.ID, c.Name, c.ImageID, quota); err != nil {
		return err
	}
	stack, err := e.stackOf(ctx, c)
	if err != nil {
		return err
	}
	return c.writeInitLayer(stack)
}

// Validate refuses what cannot work before anything is written, and brings paths into their canonical form.
func (options *CreateOptions) Validate() error {
	if err := strictjson.CheckText(options); err != nil {
		return invalid(err)
	}
	if err := request.Fields.Check(options, ""); err != nil {
		return err
	}
	if options.Name != "" {
		if err := checkName(options.Name); err != nil {
			return err
		}
	}
	host := &options.HostConfig
	if host.ShmSize == 0 {
		host.ShmSize = defaultShmSize
	}
	if host.Rootfs != "" {
		dir, err := filepath.Abs(host.Rootfs)
		if err != nil {
			return invalidf("find the root filesystem: %w", err)
		}
		if info, err := os.Stat(dir); err != nil {
			return invalidf("find the root filesystem: %w", err)
		} else if !info.IsDir() {
			return invalidf("find the root filesystem: %s is not a directory", dir)
		}
		if dir == "/" && !host.RootfsOverlay {
			return invalidf("HostConfig.Rootfs / would let the container write to the host's own root: use " +
				"HostConfig.RootfsOverlay, which keeps its changes apart")
		}
		host.Rootfs = dir
	}
	if dir := options.Config.WorkingDir; dir != "" && !filepath.IsAbs(dir) {
		return invalidf("the working directory %q is invalid, it needs to be an absolute path", dir)
	}
	if path := host.ContainerIDFile; path != "" {
		if _, err := os.Lstat(path); err == nil {
			return conflictf("container ID file %s exists: "+
				"make sure that the other container isn't running, or delete it", path)
		}
	}
	return invalid(errors.Join(host.validateResources(), validateNames(&options.Config, host),
		validateNetwork(&options.Config, host), options.validateEndpoints(), validatePorts(host.PortBindings),
		host.validateUserns(), host.validateSysctls(), validateSignal(options.Config.StopSignal), validateMounts(host),
		validateSecurity(host)))
}

// Settle drops what the other options leave without effect, and returns a sentence for each.
func (options *CreateOptions) Settle() (warnings []string) {
	host := &options.HostConfig
	if host.NetworkMode == networkHost && len(host.PortBindings) > 0 {
		host.PortBindings = nil
		warnings = append(warnings, "Published ports are discarded when using host network mode")
	}
	return warnings
}

// writeCIDFile writes the id to a file that must not exist.
func writeCIDFile(path, id string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write container ID file: %w", err)
	}
	_, err = file.WriteString(id)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write container ID file: %w", err)
	}
	return nil
}

// sweep removes what creators and removers left that were killed in the middle, where nobody holds the lock:
// directories of unfinished containers, and those that are marked for removal. A directory that has data and no record
// is left alone: it is a container that has lost its record.
func (e *Engine) sweep(ctx context.Context) error {
	ids, err := e.Dirs.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := e.sweepOne(ctx, id); err != nil {
			return fmt.Errorf("clean up the unfinished container %s: %w", ShortID(id), err)
		}
	}
	return nil
}

func (e *Engine) sweepOne(ctx context.Context, id string) error {
	dir := e.Dirs.Container(id)
	if !isUnfinished(dir) && !isInterrupted(dir) {
		return nil
	}
	held, err := tryLockBytes(filepath.Join(dir, lockFile), makingByte)
	switch {
	case err == nil:
		defer held.release()
	case !errors.Is(err, fs.ErrNotExist):
		return nil // its maker is at work
	case isYoung(dir):
		return nil // its maker may be about to lock it
	}
	if !isUnfinished(dir) && !isInterrupted(dir) {
		return nil // its maker finished it before we had the lock
	}
	return e.sweepLeft(ctx, id)
}

// sweepLeft removes a container that no process makes. A remover that is at work holds the lock of the container's
// life. Such a container cannot be started, so no start fails because this takes that lock.
func (e *Engine) sweepLeft(ctx context.Context, id string) error {
	dir := e.Dirs.Container(id)
	held, err := tryLock(filepath.Join(dir, lockFile))
	switch {
	case err == nil:
		defer held.release()
	case !errors.Is(err, fs.ErrNotExist) || isYoung(dir):
		return nil // its remover is at work
	}
	interrupted := isInterrupted(dir)
	if err := e.destroy(ctx, id); err != nil && !interrupted {
		return err
	}
	return nil // the error of an interrupted one is in its record: it must not keep others from being created
}

// isInterrupted tells whether a container is left of a removal that was killed. One that failed is left to its user.
func isInterrupted(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, removalFile))
	return err == nil && info.Size() == 0
}

// isUnfinished tells whether a container's directory is that of one that is being made or removed, or was when the
// process that did so was killed.
func isUnfinished(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, configFile)); err == nil {
		return false
	}
	presence, err := recordIn(dir)
	return err == nil && presence == unfinished
}

// isYoung tells whether a directory has just been made, or is gone.
func isYoung(dir string) bool {
	info, err := os.Lstat(dir)
	return err != nil || time.Since(info.ModTime()) < time.Minute
}

// destroy is erase for a container that has been there, of which it writes an event.
func (e *Engine) destroy(ctx context.Context, id string) error {
	c := &Container{ID: id, dirs: e.Dirs}
	if err := c.readConfig(c.dir()); errors.Is(err, fs.ErrNotExist) {
		c.readRemoved()
	}
	c.ID = id // where the record cannot be read, the event has little more than this
	// Half a container is of no use to anybody.
	return e.erase(context.WithoutCancel(ctx), id, func() { c.report(e.events, events.ActionDestroy, nil) })
}

// erase removes every trace of a container: the caller holds its lock. Where that fails half-way the container is dead,
// and can only be removed again. Once it has begun, ctx does not end it. gone is called when a container that had a
// record is gone, but for files without a meaning.
func (e *Engine) erase(ctx context.Context, id string, gone func()) error {
	c := &Container{ID: id, dirs: e.Dirs}
	store, err := e.OpenStore(ctx)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := c.beginRemoval(); err != nil {
		return err
	}
	err = store.RemoveContainer(context.WithoutCancel(ctx), id)
	if err == nil {
		err = e.eraseRecord(id, gone)
	}
	if err != nil {
		return c.failRemoval(err)
	}
	return nil
}

// eraseRecord removes what is left of a container without a layer. Without its configuration the rest of the directory
// counts as unfinished, and is swept up later. The configuration is kept under another name until gone is called:
// another process may have to finish the work, and must know what the event says. One process alone removes that file,
// so gone is called once.
func (e *Engine) eraseRecord(id string, gone func()) error {
	dir := e.Dirs.Container(id)
	names, err := e.Dirs.allNames()
	if err != nil {
		return err
	}
	for _, name := range names[id] {
		if err := e.Dirs.releaseName(name, id); err != nil {
			return err
		}
	}
	if err := unrecord(dir); err != nil {
		return err
	}
	if os.Remove(filepath.Join(dir, removedFile)) == nil {
		gone()
	}
	return removeDir(dir)
}

// commandOf is the argument vector of the payload.
func commandOf(c *Config) []string { return slices.Concat(c.Entrypoint, c.Cmd) }

// CommandLine is the command as ps shows it.
func (c *Container) CommandLine() string { return strings.Join(commandOf(&c.Config), " ") }
