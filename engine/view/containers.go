package view

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
)

// notMeasured stands in Docker's objects for a size or a number that is not known.
const notMeasured = -1

// Container is a container in a list.
type Container struct {
	container.Summary
	// ExitCode and Pid are podman's: Docker's summary tells neither.
	ExitCode int
	Pid      int // of the container's first process on the host; 0 unless it runs
}

// ListOptions says which containers to list, and how.
type ListOptions struct {
	// All lists containers that do not run, too. So does a Limit, or a Filter that names states.
	All bool
	// Limit lists only as many, the newest; 0 or less is no limit.
	Limit int
	// Size measures what each container has written: SizeRw, and SizeRootFs with its image, which is -1 if the image
	// is gone.
	Size   bool
	Filter Filter
}

// Containers lists containers, the newest first.
func Containers(ctx context.Context, e *layered.Engine, options ListOptions) (list []Container, broken []error,
	err error) {
	if err := options.Filter.lookUp(ctx, e); err != nil {
		return nil, nil, err
	}
	all, broken, err := e.Containers.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	for _, c := range options.choose(all) {
		list = append(list, summary(c, now))
	}
	if !options.Size {
		return list, broken, ctx.Err()
	}
	unmeasured, err := addSizes(ctx, e, list)
	return list, append(broken, unmeasured...), err
}

// choose returns those of the containers that are wanted.
func (o *ListOptions) choose(list []*engine.Container) []*engine.Container {
	all := o.All || o.Limit > 0 || o.Filter.status != nil
	list = slices.DeleteFunc(list, func(c *engine.Container) bool {
		return !all && !c.State.Status.Up() || !o.Filter.matches(c)
	})
	if o.Limit > 0 {
		list = list[:min(o.Limit, len(list))]
	}
	return list
}

// summary describes a container without its sizes.
func summary(c *engine.Container, now time.Time) Container {
	end := c.Endpoint()
	s := container.Summary{
		ID: c.ID, Names: []string{"/" + c.Name}, Image: cmp.Or(c.ImageName, c.HostConfig.Rootfs),
		ImageID: imageRef(c.ImageID), Command: c.CommandLine(), Created: c.Created.Unix(), Ports: ports(c),
		Labels: c.Config.Labels, State: container.ContainerState(c.State.Status), Status: c.StatusText(now),
		Mounts: mounts(c),
		NetworkSettings: &container.NetworkSettingsSummary{
			Networks: map[string]*network.EndpointSettings{c.Network(): &end},
		},
	}
	s.HostConfig.NetworkMode, s.HostConfig.Annotations = string(c.HostConfig.NetworkMode), c.HostConfig.Annotations
	return Container{Summary: s, ExitCode: c.State.ExitCode, Pid: c.State.Pid}
}

// imageRef is an image's id as Docker prints it; "" is that of no image.
func imageRef(id string) string {
	if id == "" {
		return ""
	}
	return "sha256:" + id
}

// ports lists what a running container publishes and exposes.
func ports(c *engine.Container) []container.PortSummary {
	list := []container.PortSummary{}
	if !c.State.Status.Up() {
		return list
	}
	for port, bindings := range c.State.Ports {
		for _, b := range bindings {
			list = append(list, portSummary(port, b))
		}
	}
	for port := range c.Config.ExposedPorts {
		if len(c.State.Ports[port]) == 0 {
			list = append(list, portSummary(port, engine.PortBinding{}))
		}
	}
	slices.SortFunc(list, func(a, b container.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.Type, b.Type), a.IP.Compare(b.IP),
			cmp.Compare(a.PublicPort, b.PublicPort))
	})
	return list
}

func portSummary(port network.Port, b engine.PortBinding) container.PortSummary {
	one := container.PortSummary{PrivatePort: port.Num(), Type: string(port.Proto())}
	if public, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil {
		one.PublicPort, one.IP = uint16(public), b.HostIP
		if !b.HostIP.IsValid() {
			one.IP = netip.IPv4Unspecified()
		}
	}
	return one
}

// mounts lists what is mounted in a container from the host, or nothing where the record does not say.
func mounts(c *engine.Container) []container.MountPoint {
	list, err := c.Mounts()
	if err != nil {
		return []container.MountPoint{}
	}
	return list
}

// addSizes measures what containers have written. One that cannot be measured counts as empty; unmeasured says why.
func addSizes(ctx context.Context, e *layered.Engine, list []Container) (unmeasured []error, err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := ctx.Err(); err != nil {
			return unmeasured, err
		}
		c := &list[i]
		if c.SizeRw, err = written(ctx, store, c.ID); err != nil {
			unmeasured = append(unmeasured, err)
		}
		c.SizeRootFs = c.SizeRw
		if c.ImageID == "" {
			continue
		}
		if image, err := store.Image(ctx, c.ImageID); err != nil {
			c.SizeRootFs = notMeasured
		} else {
			c.SizeRootFs += image.Size
		}
	}
	return unmeasured, nil
}

// written returns how many bytes a container has written; one that runs in a directory of the user's has no layer.
func written(ctx context.Context, s *layers.Store, id string) (int64, error) {
	size, err := s.ContainerSize(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return size, err
}
