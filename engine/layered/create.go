package layered

import (
	"context"
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/rootless"
)

// Create makes a container without starting it. The image must be in the store and for the platform that is asked for,
// "" being none. The warnings are for the user whether or not there is an error.
func (e *Engine) Create(ctx context.Context, options engine.CreateOptions, platform string) (_ *engine.Container,
	warnings []string, err error) {
	if err := options.Validate(); err != nil {
		return nil, nil, err
	}
	if err := e.checkDriver(options.HostConfig); err != nil {
		return nil, nil, err
	}
	image, err := e.imageOf(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	warnings = options.Settle()
	var base *engine.Image
	if image != nil {
		base = &engine.Image{ID: image.ID, Config: ImageConfig(image)}
		if err := image.Fits(platform, options.Config.Image); err != nil {
			return nil, nil, err
		}
		if warning := platformWarning(image); platform == "" && warning != "" {
			warnings = append(warnings, warning)
		}
		if _, bad := engine.ExposedPorts(image.Config.Config.ExposedPorts); len(bad) > 0 {
			warnings = append(warnings, fmt.Sprintf("the image exposes what is no port, which is left out: %q", bad))
		}
	}
	if warning := options.HostConfig.Warning(); warning != "" {
		warnings = append(warnings, warning)
	}
	c, err := e.Containers.Create(ctx, options, base)
	if err == nil {
		warnings = append(warnings, c.Undone()...)
	}
	return c, warnings, err
}

// checkDriver refuses what only layers can do that show any owner to any id map, or only a filesystem of our own.
func (e *Engine) checkDriver(host engine.HostConfig) error {
	if host.Rootfs != "" && !host.RootfsOverlay {
		if len(host.StorageOpt) > 0 {
			return fault.Errorf(errdefs.ErrInvalidArgument, "HostConfig.StorageOpt limits what is kept apart from a "+
				"directory: use HostConfig.RootfsOverlay with %s", host.Rootfs)
		}
		return nil
	}
	kind, err := FindStorageDriver(e.Containers.Dirs, e.StorageDriver)
	switch {
	case err != nil || kind == driver.Fuse:
		return err
	case host.Rootfs != "":
		return &DriverError{Setting: "HostConfig.RootfsOverlay", Driver: kind, Why: "which a directory can be below of"}
	case len(host.StorageOpt) > 0:
		return &DriverError{Setting: "HostConfig.StorageOpt", Driver: kind,
			Why: "which counts what a container writes"}
	case host.UsernsMode != "" && host.UsernsMode != rootless.ModeHost:
		return &DriverError{Setting: "HostConfig.UsernsMode=" + string(host.UsernsMode), Driver: kind,
			Why: "which shows the files of an image to any map of ids"}
	}
	return nil
}

// DriverError is the error of a setting that needs a store with the driver fuse.
type DriverError struct {
	Setting string
	Driver  string // of the store
	Why     string // what the driver fuse can do that this one cannot
}

func (e *DriverError) Error() string {
	return fmt.Sprintf("%s needs the storage driver fuse, %s, and this store has %s", e.Setting, e.Why, e.Driver)
}

// Unwrap returns the class.
func (e *DriverError) Unwrap() error { return errdefs.ErrInvalidArgument }

// imageOf returns the image that the options name; nil when the root is a directory.
func (e *Engine) imageOf(ctx context.Context, options engine.CreateOptions) (*layers.Image, error) {
	if options.HostConfig.Rootfs != "" {
		return nil, nil
	}
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	return store.Image(ctx, options.Config.Image)
}

// ImageConfig translates an image's configuration into the form in which it is merged.
func ImageConfig(image *layers.Image) engine.Config {
	from := image.Config.Config
	ports, _ := engine.ExposedPorts(from.ExposedPorts)
	return engine.Config{
		User: from.User, WorkingDir: from.WorkingDir, StopSignal: from.StopSignal, Env: from.Env, Cmd: from.Cmd,
		Entrypoint: from.Entrypoint, ExposedPorts: ports, Volumes: from.Volumes, Labels: from.Labels,
		Healthcheck: healthcheck(image),
	}
}

// healthcheck is the image's health check, nil without one.
func healthcheck(image *layers.Image) *container.HealthConfig {
	if image.Docker.Healthcheck == nil {
		return nil
	}
	check := container.HealthConfig(*image.Docker.Healthcheck)
	return &check
}

func platformWarning(image *layers.Image) string {
	system, arch := image.Config.OS, image.Config.Architecture
	if system == "" || arch == "" || system == runtime.GOOS && arch == runtime.GOARCH {
		return ""
	}
	return fmt.Sprintf("The requested image's platform (%s/%s) does not match the detected host platform (%s/%s) "+
		"and no specific platform was requested",
		system, arch, runtime.GOOS, runtime.GOARCH)
}
