package main

import (
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/engine/view"
	"github.com/spf13/cobra"
)

func (a *app) systemCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "system COMMAND",
		Short:   "Show and free the space that images and containers take",
		Example: "  rcrun system df\n  rcrun system prune\n  rcrun system dedup",
		Args:    arguments(0, 0),
	}
	cmd.AddCommand(a.infoCommand(), a.dfCommand(), a.eventsCommand(), a.systemPruneCommand(), a.dedupCommand())
	return cmd
}

// dfRow is a line of "system df", with the names that Docker's templates use.
type dfRow struct {
	Type        string
	TotalCount  string `heading:"TOTAL"`
	Active      string
	Size        string
	Reclaimable string
}

func (a *app) dfCommand() *cobra.Command {
	var verbose bool
	var format string
	cmd := &cobra.Command{
		Use:   "df [flags]",
		Short: "Show what images and containers take on disk",
		Long: "Show what images and containers take on disk. Layers that several images share count once; the build\n" +
			"cache is what a pull or load that was cut off has left to make its repetition cheaper.",
		Example: "  rcrun system df -v\n  rcrun system df --format '{{.Type}} {{.Reclaimable}}'",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(e *layered.Engine) error {
				use, broken, err := view.DiskUsage(cmd.Context(), e)
				for _, err := range broken {
					warn([]string{err.Error()})
				}
				if err != nil {
					return err
				}
				if verbose {
					return printUsage(use)
				}
				return printRows(dfRows(use), format, []column[dfRow]{
					{"TYPE", func(r dfRow) string { return r.Type }},
					{"TOTAL", func(r dfRow) string { return r.TotalCount }},
					{"ACTIVE", func(r dfRow) string { return r.Active }},
					{"SIZE", func(r dfRow) string { return r.Size }},
					{"RECLAIMABLE", func(r dfRow) string { return r.Reclaimable }},
				})
			})
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show every image and container")
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	cmd.MarkFlagsMutuallyExclusive("verbose", "format")
	return cmd
}

func dfRows(use system.DiskUsage) []dfRow {
	images, containers, volumes, cache := use.ImageUsage, use.ContainerUsage, use.VolumeUsage, use.BuildCacheUsage
	return []dfRow{
		newDFRow("Images", images.TotalCount, images.ActiveCount, images.TotalSize, images.Reclaimable),
		newDFRow("Containers", containers.TotalCount, containers.ActiveCount, containers.TotalSize,
			containers.Reclaimable),
		newDFRow("Local Volumes", volumes.TotalCount, volumes.ActiveCount, volumes.TotalSize, volumes.Reclaimable),
		{"Build Cache", countText(cache.TotalCount), countText(cache.ActiveCount), bytesText(cache.TotalSize),
			bytesText(cache.Reclaimable)},
	}
}

func newDFRow(kind string, total, active, size, free int64) dfRow {
	row := dfRow{kind, countText(total), countText(active), bytesText(size), bytesText(free)}
	if size > 0 {
		row.Reclaimable += fmt.Sprintf(" (%d%%)", free*100/size)
	}
	return row
}

// printUsage prints every image, container and kept layer.
func printUsage(use system.DiskUsage) error {
	now := time.Now()
	fmt.Print("Images space usage:\n\n")
	err := printTable(imageUsageRows(use.ImageUsage.Items, now),
		"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
	if err != nil {
		return err
	}
	fmt.Print("\nContainers space usage:\n\n")
	err = printTable(containerUsageRows(use.ContainerUsage.Items, now),
		"CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES")
	if err != nil {
		return err
	}
	fmt.Print("\nLocal Volumes space usage:\n\n")
	if err := printTable(nil, "VOLUME NAME", "LINKS", "SIZE"); err != nil {
		return err
	}
	fmt.Printf("\nBuild cache usage: %s\n\n", bytesOf(use.BuildCacheUsage.TotalSize))
	return printTable(cacheRows(use.BuildCacheUsage.Items, now), "CACHE ID", "CACHE TYPE", "SIZE", "CREATED")
}

func imageUsageRows(images []image.Summary, now time.Time) (rows [][]string) {
	list := imageListing{}
	for _, img := range images {
		one := view.Image{Summary: img, UniqueSize: img.Size - img.SharedSize}
		for _, r := range list.rowsOf(&one, now) {
			rows = append(rows, []string{r.Repository, r.Tag, r.ID, r.CreatedSince, r.Size, r.SharedSize, r.UniqueSize,
				r.Containers})
		}
	}
	return rows
}

func containerUsageRows(list []container.Summary, now time.Time) (rows [][]string) {
	for _, c := range list {
		r := newPSRow(&view.Container{Summary: c}, false, now)
		rows = append(rows, []string{r.ID, r.Image, r.Command, r.LocalVolumes, bytesText(c.SizeRw), r.RunningFor,
			r.Status, r.Names})
	}
	return rows
}

func cacheRows(records []build.CacheRecord, now time.Time) (rows [][]string) {
	for _, record := range records {
		id, created := shorten(record.ID, 19), ""
		if record.Type == view.KeptLayer {
			id = shortDigest(digest.Digest(record.ID))
			created = units.HumanDuration(now.Sub(record.CreatedAt)) + " ago"
		}
		rows = append(rows, []string{id, record.Type, bytesText(record.Size), created})
	}
	return rows
}

// printTable prints rows of cells below headings.
func printTable(rows [][]string, headings ...string) error {
	columns := make([]column[[]string], len(headings))
	for i, heading := range headings {
		columns[i] = column[[]string]{heading, func(cells []string) string { return cells[i] }}
	}
	return printRows(rows, "", columns)
}
