package main

import (
	"fmt"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/upkeep"
)

func (a *app) dedupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dedup",
		Short: "Have equal files of different layers share their place on disk",
		Long: "Have equal files of the layers of images share their place on disk. The filesystem of the store must " +
			"be able\n" +
			"to do that, as btrfs and XFS are. Every file of a size that several have is read. Containers may run " +
			"meanwhile.",
		Example: "  rcrun system dedup",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s *layers.Store) error {
				found, err := upkeep.Dedup(cmd.Context(), s)
				if err != nil {
					return err
				}
				fmt.Printf("%d files share their content with another one: %s\n", found.Files,
					units.HumanSize(float64(found.Bytes)))
				return nil
			})
		},
	}
}
