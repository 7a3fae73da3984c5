package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
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
		return false, errors.New("nothing was removed, because nobody answered; give --force to remove without asking")
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
			filter, err := p.filter()
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
			return a.with(func(e *layered.Engine) error {
				pruned, err := e.PruneImages(cmd.Context(), filter, p.all)
				printPruned(pruned)
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&p.all, "all", "a", false,
		"remove all images that no container needs, not only those without a name")
	p.addFlags(cmd, "until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]")
	return cmd
}

// filter reads the filters of what to prune.
func (p *pruning) filter() (layered.PruneFilter, error) {
	var f layered.PruneFilter
	err := parseFilters(p.filters, filling(&f, view.AddPruneFilter))
	return f, err
}

func (a *app) containerPruneCommand() *cobra.Command {
	var p pruning
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove containers that do not run",
		Example: "  rcrun container prune -f --filter until=24h",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := p.filter()
			if err != nil {
				return err
			}
			if ok, err := p.confirm("This will remove all stopped containers."); !ok {
				return err
			}
			return a.with(func(e *layered.Engine) error {
				pruned, err := e.PruneContainers(cmd.Context(), filter)
				printPruned(pruned)
				return err
			})
		},
	}
	p.addFlags(cmd, "until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]")
	return cmd
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
			filter, err := p.filter()
			if err != nil {
				return err
			}
			if ok, err := p.confirm(p.systemWarning(volumes)); !ok {
				return err
			}
			return a.with(func(e *layered.Engine) error {
				pruned, err := e.PruneAll(cmd.Context(), filter, p.all)
				printPruned(pruned)
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&p.all, "all", "a", false,
		"remove all images that no container needs, not only those without a name")
	cmd.Flags().BoolVar(&volumes, "volumes", false, "no effect: anonymous volumes are part of their containers")
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
		lines = append(lines, "", "  Items to be pruned will be filtered with:",
			"  - "+strings.Join(p.filters, "\n  - "))
	}
	return strings.Join(lines, "\n") + "\n"
}

// printPruned prints what was removed, whatever failed beside it.
func printPruned(p layered.Pruned) {
	if len(p.Containers) > 0 {
		fmt.Printf("Deleted Containers:\n%s\n\n", strings.Join(p.Containers, "\n"))
	}
	printDeleted("Deleted Images:", p.Images)
	printDeleted("Deleted build cache objects:", p.Cache)
	fmt.Println("Total reclaimed space:", bytesOf(p.Space))
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
