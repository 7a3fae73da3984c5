package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/docker/go-units"
	"github.com/rcrun/rcrun/engine"
	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
	"github.com/spf13/cobra"
)

func (a *app) systemCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "system COMMAND",
		Short:   "See and free what images and containers take",
		Example: "  rcrun system df\n  rcrun system prune\n  rcrun system dedup",
		Args:    arguments(0, 0),
	}
	cmd.AddCommand(a.infoCommand(), a.dfCommand(), a.systemPruneCommand(), a.dedupCommand())
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

// diskUse is what images and containers take.
type diskUse struct {
	layers.Usage
	containers []*engine.Container
	sizes      []bytesOf // of what each container has written
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
				use, err := measure(e)
				if err != nil {
					return err
				}
				if verbose {
					return use.printAll()
				}
				return printRows(use.rows(), format, []column[dfRow]{
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

// measure finds out what is used. Damaged images and containers are warned of and left out.
func measure(e *layered.Engine) (*diskUse, error) {
	use, err := measureImages(e)
	if err != nil {
		return nil, err
	}
	store, err := e.Store()
	if err != nil {
		return nil, err
	}
	for _, c := range use.containers {
		use.sizes = append(use.sizes, sizeOrWarn(store, c.ID))
	}
	return use, nil
}

// measureImages is measure without the sizes of containers.
func measureImages(e *layered.Engine) (*diskUse, error) {
	store, err := e.Store()
	if err != nil {
		return nil, err
	}
	use := &diskUse{}
	var broken error
	if use.Usage, broken = store.Usage(); broken != nil {
		warn([]string{broken.Error()})
	}
	list, damaged, err := e.Containers()
	for _, err := range damaged {
		warn([]string{err.Error()})
	}
	use.containers = list
	return use, err
}

// containerSize returns what a container has written; one that runs in a directory of the user's has no layer.
func containerSize(s *layers.Store, id string) (bytesOf, error) {
	size, err := s.ContainerSize(id)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return bytesOf(size), err
}

// sizeOrWarn is containerSize for a command about several containers, which one that cannot be measured does not end.
// It counts as empty.
func sizeOrWarn(s *layers.Store, id string) bytesOf {
	size, err := containerSize(s, id)
	if err != nil {
		warn([]string{err.Error()})
	}
	return size
}

// image returns what an image takes; nil where that was not measured.
func (u *diskUse) image(id string) *layers.ImageUsage {
	if u == nil {
		return nil
	}
	i := slices.IndexFunc(u.Images, func(img layers.ImageUsage) bool { return img.ID == id })
	if i < 0 {
		return nil
	}
	return &u.Images[i]
}

// users returns how many containers an image has.
func (u *diskUse) users(imageID string) (n int) {
	for _, c := range u.containers {
		if c.ImageID == imageID {
			n++
		}
	}
	return n
}

func (u *diskUse) rows() []dfRow {
	inUse := func(img layers.ImageUsage) bool { return u.users(img.ID) > 0 }
	active := 0
	for _, img := range u.Images {
		if inUse(img) {
			active++
		}
	}
	running, written, idle := 0, bytesOf(0), bytesOf(0)
	for i, c := range u.containers {
		written += u.sizes[i]
		if c.State.Status == engine.Running {
			running++
		} else {
			idle += u.sizes[i]
		}
	}
	var kept bytesOf
	for _, l := range u.Kept {
		kept += bytesOf(l.Size)
	}
	for _, size := range u.Downloads {
		kept += bytesOf(size)
	}
	return []dfRow{
		newDFRow("Images", len(u.Images), active, bytesOf(u.Layers), bytesOf(u.Reclaimable(inUse))),
		newDFRow("Containers", len(u.containers), running, written, idle),
		newDFRow("Local Volumes", 0, 0, 0, 0),
		{"Build Cache", fmt.Sprint(len(u.Kept) + len(u.Downloads)), "0", kept.String(), kept.String()},
	}
}

func newDFRow(kind string, total, active int, size, free bytesOf) dfRow {
	row := dfRow{kind, fmt.Sprint(total), fmt.Sprint(active), size.String(), free.String()}
	if size > 0 {
		row.Reclaimable += fmt.Sprintf(" (%d%%)", free*100/size)
	}
	return row
}

// printAll prints every image, container and kept layer.
func (u *diskUse) printAll() error {
	now := time.Now()
	fmt.Print("Images space usage:\n\n")
	list := imageListing{}
	var rows [][]string
	for _, img := range u.Images {
		for _, r := range list.rowsOf(&img.Image, now) {
			rows = append(rows, []string{r.Repository, r.Tag, r.ID, r.CreatedSince, r.Size, bytesOf(img.Shared).String(),
				bytesOf(img.Unique).String(), fmt.Sprint(u.users(img.ID))})
		}
	}
	if err := printTable(rows, "REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"); err != nil {
		return err
	}
	fmt.Print("\nContainers space usage:\n\n")
	rows = nil
	for i, c := range u.containers {
		r := newPSRow(c, false, now)
		rows = append(rows, []string{r.ID, r.Image, r.Command, "0", u.sizes[i].String(), r.RunningFor, r.Status, r.Names})
	}
	if err := printTable(rows, "CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"); err != nil {
		return err
	}
	fmt.Print("\nLocal Volumes space usage:\n\n")
	if err := printTable(nil, "VOLUME NAME", "LINKS", "SIZE"); err != nil {
		return err
	}
	fmt.Printf("\nBuild cache usage: %s\n\n", u.rows()[3].Size)
	rows = nil
	for _, l := range u.Kept {
		rows = append(rows, []string{shortDigest(l.ChainID), "layer", bytesOf(l.Size).String(), units.HumanDuration(now.Sub(l.Created)) + " ago"})
	}
	for _, name := range slices.Sorted(maps.Keys(u.Downloads)) {
		rows = append(rows, []string{shorten(name, 19), "download", bytesOf(u.Downloads[name]).String(), ""})
	}
	return printTable(rows, "CACHE ID", "CACHE TYPE", "SIZE", "CREATED")
}

// printTable prints rows of cells below headings.
func printTable(rows [][]string, headings ...string) error {
	columns := make([]column[[]string], len(headings))
	for i, heading := range headings {
		columns[i] = column[[]string]{heading, func(cells []string) string { return cells[i] }}
	}
	return printRows(rows, "", columns)
}
