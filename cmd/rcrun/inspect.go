package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/spf13/cobra"
)

// lookup finds an object and returns what inspect prints of it: with size, also what a container has written.
type lookup func(ctx context.Context, e *layered.Engine, name string, size bool) (any, error)

// lookups are the kinds of objects by the value of --type.
var lookups = map[string]lookup{"": view.Inspect, "container": inspectContainer, "image": inspectImage}

func inspectContainer(ctx context.Context, e *layered.Engine, name string, size bool) (any, error) {
	return view.InspectContainer(ctx, e, name, size)
}

func inspectImage(ctx context.Context, e *layered.Engine, name string, _ bool) (any, error) {
	return view.InspectImage(ctx, e, name)
}

func (a *app) inspectCommand() *cobra.Command {
	var kind string
	cmd := a.inspectWith(func() (lookup, error) {
		if l, ok := lookups[kind]; ok {
			return l, nil
		}
		return nil, fmt.Errorf("invalid --type %q: want container or image", kind)
	})
	cmd.Use = "inspect [flags] CONTAINER|IMAGE..."
	cmd.Short = "Print all information about containers and images, as JSON"
	cmd.Example = "  rcrun inspect web\n  rcrun inspect -f '{{.State.Pid}}' web\n  rcrun inspect --type image debian:12"
	cmd.ValidArgsFunction = a.completeBoth
	cmd.Flags().StringVar(&kind, "type", "",
		"container or image (default: a container, or an image if there is none of that name)")
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
					object, err := find(cmd.Context(), e, name, size)
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
	cmd.Flags().BoolVarP(&size, "size", "s", false, "also show how much containers have written: SizeRw and SizeRootFs")
	return cmd
}

func printInspected(objects []any, format string) error {
	if format != "" && format != "json" {
		return printObjects(objects, format)
	}
	return printJSON(objects)
}
