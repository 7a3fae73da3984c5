package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
	"github.com/spf13/cobra"
)

// lookup finds an object and returns what inspect prints of it.
type lookup func(e *layered.Engine, name string) (any, error)

// lookups are the kinds of objects by the value of --type.
var lookups = map[string]lookup{"": inspectAny, "container": inspectContainer, "image": inspectImage}

func (a *app) inspectCommand() *cobra.Command {
	var kind string
	cmd := a.inspectWith(func() (lookup, error) {
		if l, ok := lookups[kind]; ok {
			return l, nil
		}
		return nil, fmt.Errorf("invalid --type %q: want container or image", kind)
	})
	cmd.Use = "inspect [flags] CONTAINER|IMAGE..."
	cmd.Short = "Print all that is known of containers and images"
	cmd.Example = "  rcrun inspect web\n  rcrun inspect -f '{{.State.Pid}}' web\n  rcrun inspect --type image debian:12"
	cmd.ValidArgsFunction = a.completeBoth
	cmd.Flags().StringVar(&kind, "type", "", "container or image (default: a container, or an image if there is none of that name)")
	return cmd
}

func (a *app) imageInspectCommand() *cobra.Command {
	cmd := a.inspectWith(func() (lookup, error) { return inspectImage, nil })
	cmd.Use = "inspect [flags] IMAGE..."
	cmd.Short = "Print all that is known of images"
	cmd.Example = "  rcrun image inspect -f '{{.Config.Cmd}}' debian:12"
	cmd.ValidArgsFunction = a.completeImages
	return cmd
}

func (a *app) containerInspectCommand() *cobra.Command {
	cmd := a.inspectWith(func() (lookup, error) { return inspectContainer, nil })
	cmd.Use = "inspect [flags] CONTAINER..."
	cmd.Short = "Print all that is known of containers"
	cmd.Example = "  rcrun container inspect -f '{{.State.Status}}' web"
	cmd.ValidArgsFunction = a.completeContainers
	return cmd
}

// inspectWith makes an inspect command of what its flags choose. What is found is printed, whatever else is missing.
func (a *app) inspectWith(choose func() (lookup, error)) *cobra.Command {
	var format string
	var size bool
	cmd := &cobra.Command{
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			find, err := choose()
			if err != nil {
				return err
			}
			return a.with(func(e *layered.Engine) error {
				objects, missing := []any{}, []error{}
				for _, name := range args {
					object, err := find(e, name)
					if c, ok := object.(engine.Inspection); ok && size && err == nil {
						object, err = withSize(e, c)
					}
					if err != nil {
						missing = append(missing, err)
						continue
					}
					objects = append(objects, object)
				}
				return errors.Join(append([]error{printInspected(objects, format)}, missing...)...)
			})
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	cmd.Flags().BoolVarP(&size, "size", "s", false, "tell what containers have written, too: SizeRw and SizeRootFs")
	return cmd
}

// withSize adds what a container has written.
func withSize(e *layered.Engine, i engine.Inspection) (engine.Inspection, error) {
	store, err := e.Store()
	if err != nil {
		return i, err
	}
	written, err := containerSize(store, i.ID)
	if err != nil {
		return i, err
	}
	rw, whole := int64(written), int64(written)
	if i.Image != "" {
		image, err := store.Image(i.Image)
		if err != nil {
			return i, err
		}
		whole += image.Size
	}
	i.SizeRw, i.SizeRootFs = &rw, &whole
	return i, nil
}

func printInspected(objects []any, format string) error {
	if format != "" && format != "json" {
		return printObjects(objects, format)
	}
	return printJSON(objects)
}

func inspectContainer(e *layered.Engine, name string) (any, error) {
	c, err := e.Lookup(name)
	if err != nil {
		return nil, err
	}
	driver, err := layered.FindStorageDriver(e.Dirs, "")
	if err != nil {
		return nil, err
	}
	return c.Inspect(driver)
}

func inspectImage(e *layered.Engine, name string) (any, error) {
	store, err := e.Store()
	if err != nil {
		return nil, err
	}
	image, err := store.Image(name)
	if err != nil {
		return nil, err
	}
	return describeImage(store, image)
}

// inspectAny takes a container of that name before an image.
func inspectAny(e *layered.Engine, name string) (any, error) {
	if _, err := e.Lookup(name); !errdefs.IsNotFound(err) {
		return inspectContainer(e, name)
	}
	object, err := inspectImage(e, name)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("no such container or image: %s", name)
	}
	return object, err
}

// imageInspection is what inspect prints of an image: Docker's object, as far as rcrun has the facts.
type imageInspection struct {
	ID            string         `json:"Id"`
	RepoTags      []string       `json:"RepoTags"`
	RepoDigests   []string       `json:"RepoDigests"`
	Parent        string         `json:"Parent"`
	Comment       string         `json:"Comment"`
	Created       string         `json:"Created"` // RFC 3339 with nanoseconds
	DockerVersion string         `json:"DockerVersion"`
	Author        string         `json:"Author"`
	Config        imageConfig    `json:"Config"`
	Architecture  string         `json:"Architecture"`
	Variant       string         `json:"Variant,omitempty"`
	Os            string         `json:"Os"`
	Size          int64          `json:"Size"`
	GraphDriver   graphDriver    `json:"GraphDriver"`
	RootFS        rootFS         `json:"RootFS"`
	History       []imageHistory `json:"History"` // podman's; Docker has it in its history command only
	Digest        string         `json:"Digest,omitempty"`
}

// imageConfig is the configuration of an image in the form of a container's, as Docker prints it.
type imageConfig struct {
	engine.Config
	Healthcheck *layers.Healthcheck `json:"Healthcheck,omitempty"`
	OnBuild     []string            `json:"OnBuild"`
	Shell       []string            `json:"Shell,omitempty"`
}

type graphDriver struct {
	Name string            `json:"Name"`
	Data map[string]string `json:"Data"`
}

type rootFS struct {
	Type   string   `json:"Type"`
	Layers []string `json:"Layers"`
}

type imageHistory struct {
	Created    string `json:"created,omitempty"`
	CreatedBy  string `json:"created_by,omitempty"`
	Comment    string `json:"comment,omitempty"`
	EmptyLayer bool   `json:"empty_layer,omitempty"`
}

func describeImage(store *layers.Store, image *layers.Image) (imageInspection, error) {
	driver, data, err := store.DriverData(image)
	if err != nil {
		return imageInspection{}, err
	}
	config := imageConfig{Config: layered.ImageConfig(image), Healthcheck: image.Docker.Healthcheck, OnBuild: image.Docker.OnBuild, Shell: image.Docker.Shell}
	i := imageInspection{
		ID: "sha256:" + image.ID, RepoTags: orEmpty(image.RepoTags), RepoDigests: orEmpty(image.RepoDigests),
		Created: image.Created.Format(time.RFC3339Nano),
		Comment: image.Comment, DockerVersion: image.DockerVersion, Author: image.Config.Author, Config: config,
		Architecture: image.Config.Architecture, Variant: image.Config.Variant, Os: image.Config.OS,
		Size: image.Size, GraphDriver: graphDriver{driver, data}, RootFS: rootFS{Type: "layers", Layers: []string{}}, Digest: image.Digest.String(),
	}
	for _, id := range image.Config.RootFS.DiffIDs {
		i.RootFS.Layers = append(i.RootFS.Layers, id.String())
	}
	for _, h := range image.Config.History {
		step := imageHistory{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer}
		if h.Created != nil {
			step.Created = h.Created.Format(time.RFC3339Nano)
		}
		i.History = append(i.History, step)
	}
	return i, nil
}

// orEmpty has a list without members printed as such, and not as null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
