package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
	"github.com/spf13/cobra"
)

// pruning is what to prune.
type pruning struct {
	all, force bool
	filters    []string
}

func (p *pruning) addFlags(cmd *cobra.Command, filters string) {
	cmd.Flags().BoolVarP(&p.force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&p.filters, "filter", nil, "remove only some: "+filters)
	cmd.RegisterFlagCompletionFunc("filter", completeFilter([]string{"label", "label!", "until"}, nil))
}

// confirm asks whether to go on, unless the user has said so beforehand.
func (p *pruning) confirm(warning string) (bool, error) {
	if p.force {
		return true, nil
	}
	fmt.Printf("WARNING! %s\nAre you sure you want to continue? [y/N] ", warning)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && answer == "" {
		return false, errors.New("nothing was removed, since nobody answered: give --force to go on without being asked")
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

func (a *app) imagePruneCommand() *cobra.Command {
	var p pruning
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove images without a name, or all that no container needs",
		Example: "  rcrun image prune\n  rcrun image prune -af --filter until=240h",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := pruneFilter(p.filters)
			if err != nil {
				return err
			}
			warning := "This will remove all dangling images."
			if p.all {
				warning = "This will remove all images without at least one container associated to them."
			}
			if ok, err := p.confirm(warning); !ok {
				return err
			}
			return a.withStore(func(s *layers.Store) error {
				pruned, err := s.Prune(layers.PruneOptions{All: p.all, Filter: filter})
				printDeleted("Deleted Images:", pruned.Removals)
				printReclaimed(pruned.Space)
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&p.all, "all", "a", false, "remove all images that no container needs, not only those without a name")
	p.addFlags(cmd, "until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]")
	return cmd
}

// pruneFilter reads the filters of images that prune has.
func pruneFilter(flags []string) (layers.ImageFilter, error) {
	for _, flag := range flags {
		key, _, _ := strings.Cut(flag, "=")
		if !slices.Contains([]string{"until", "label", "label!", "dangling"}, key) {
			return layers.ImageFilter{}, fmt.Errorf("invalid --filter %q: known are label, label! and until", flag)
		}
	}
	return parseImageFilters(flags, time.Now())
}

func (a *app) containerPruneCommand() *cobra.Command {
	var p pruning
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove containers that do not run",
		Example: "  rcrun container prune -f --filter until=24h",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := pruneFilter(p.filters)
			if err != nil {
				return err
			}
			if ok, err := p.confirm("This will remove all stopped containers."); !ok {
				return err
			}
			return a.with(func(e *layered.Engine) error {
				space, err := pruneContainers(e, filter)
				printReclaimed(space)
				return err
			})
		},
	}
	p.addFlags(cmd, "until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]")
	return cmd
}

// pruneContainers removes the containers that do not run, prints their ids and returns the bytes that are free now.
func pruneContainers(e *layered.Engine, f layers.ImageFilter) (int64, error) {
	removed, space, err := e.Prune(func(c *engine.Container) bool {
		lacks := func(label string) bool { return !hasLabel(c, label) }
		has := func(label string) bool { return hasLabel(c, label) }
		return (f.Until.IsZero() || c.Created.Before(f.Until)) && !slices.ContainsFunc(f.Labels, lacks) && !slices.ContainsFunc(f.NotLabels, has)
	})
	if len(removed) > 0 {
		fmt.Printf("Deleted Containers:\n%s\n\n", strings.Join(removed, "\n"))
	}
	return space, err
}

func (a *app) systemPruneCommand() *cobra.Command {
	var p pruning
	var volumes bool
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove stopped containers, images without a name, and what is left of broken-off pulls",
		Example: "  rcrun system prune\n  rcrun system prune -af --filter until=24h",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := pruneFilter(p.filters)
			if err != nil {
				return err
			}
			if ok, err := p.confirm(p.systemWarning(volumes)); !ok {
				return err
			}
			return a.with(func(e *layered.Engine) error { return p.system(e, filter) })
		},
	}
	cmd.Flags().BoolVarP(&p.all, "all", "a", false, "remove all images that no container needs, not only those without a name")
	cmd.Flags().BoolVar(&volumes, "volumes", false, "remove anonymous volumes, too (there are none outside of containers)")
	p.addFlags(cmd, "until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]")
	return cmd
}

func (p *pruning) systemWarning(volumes bool) string {
	lines := []string{"This will remove:", "  - all stopped containers"}
	if volumes {
		lines = append(lines, "  - all anonymous volumes not used by at least one container")
	}
	if p.all {
		lines = append(lines, "  - all images without at least one container associated to them")
	} else {
		lines = append(lines, "  - all dangling images")
	}
	lines = append(lines, "  - all build cache")
	if len(p.filters) > 0 {
		lines = append(lines, "", "  Items to be pruned will be filtered with:", "  - "+strings.Join(p.filters, "\n  - "))
	}
	return strings.Join(lines, "\n") + "\n"
}

// system removes containers first, because images are free only then. What fails does not keep the rest from its turn.
func (p *pruning) system(e *layered.Engine, filter layers.ImageFilter) error {
	store, err := e.Store()
	if err != nil {
		return err
	}
	space, containerErr := pruneContainers(e, filter)
	images, imageErr := store.Prune(layers.PruneOptions{All: p.all, Filter: filter})
	printDeleted("Deleted Images:", images.Removals)
	kept, keptErr := store.PruneKept()
	printDeleted("Deleted build cache objects:", kept.Removals)
	printReclaimed(space + images.Space + kept.Space)
	return errors.Join(containerErr, imageErr, keptErr)
}

func printDeleted(heading string, removals []layers.Removal) {
	if len(removals) == 0 {
		return
	}
	fmt.Println(heading)
	for _, r := range removals {
		if r.Untagged != "" {
			fmt.Println("untagged:", r.Untagged)
		}
		if r.Deleted != "" {
			fmt.Println("deleted:", r.Deleted)
		}
	}
	fmt.Println()
}

func printReclaimed(space int64) { fmt.Println("Total reclaimed space:", bytesOf(space)) }
