package filesystem

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/rcrun/rcrun/bench/chart"
	"github.com/rcrun/rcrun/bench/stats"
)

// Report holds everything that was measured.
type Report struct {
	Machine Machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	Scale   float64 `json:"scale"`
	Rows    []Row   `json:"rows"`
}

// Row is one measurement on all subjects.
type Row struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	Unit  string `json:"unit"` // "s" or "MiB"
	// Values holds a value for each round, by subject. A subject that failed or has nothing to measure has none.
	Values map[string][]float64 `json:"values"`
	Failed map[string]string    `json:"failed,omitempty"` // why, by subject
}

// subjects returns the names of the subjects that have any value, in the order of the columns.
func (r *Report) subjects() []string {
	var names []string
	for _, name := range []string{plain{}.name(), overlay{}.name(), fuseOverlayfs, ours, oursStore} {
		if slices.ContainsFunc(r.Rows, func(row Row) bool { return len(row.Values[name]) > 0 }) {
			names = append(names, name)
		}
	}
	return names
}

// publish prints the table and writes the files that were asked for.
func (r *Report) publish(o Options, out io.Writer) error {
	if err := r.printTable(out); err != nil {
		return err
	}
	if o.JSON != "" {
		if err := r.writeJSON(o.JSON); err != nil {
			return err
		}
	}
	if o.SVG != "" {
		return r.draw(o.SVG)
	}
	return nil
}

// comparison compares a subject of this module with another one.
type comparison struct{ own, reference string }

// comparisons returns those that the report shows.
func (r *Report) comparisons() []comparison {
	var all []comparison
	names := r.subjects()
	for _, own := range []string{ours, oursStore} {
		for _, reference := range []string{overlay{}.name(), fuseOverlayfs} {
			if slices.Contains(names, own) && slices.Contains(names, reference) {
				all = append(all, comparison{own, reference})
			}
		}
	}
	return all
}

// printTable prints Markdown that is readable as it is: medians, and this module's times as multiples of the times of
// others.
func (r *Report) printTable(out io.Writer) error {
	fmt.Fprintf(out, "%s\nRounds: %d; scale: %g. Medians, in ms unless another unit is given; ratios are medians of "+
		"each round's.\n\n",
		r.Machine, r.Rounds, r.Scale)
	names, comparisons := r.subjects(), r.comparisons()
	header := slices.Concat([]string{""}, names)
	last := append([]string{"geometric mean of all times"}, slices.Repeat([]string{""}, len(names))...)
	for _, c := range comparisons {
		header = append(header, c.own+" / "+c.reference)
		last = append(last, formatRatio(r.geoMean(c)))
	}
	table := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	printCells(table, header)
	printCells(table, append([]string{"---"}, slices.Repeat([]string{"---:"}, len(header)-1)...))
	for _, row := range r.Rows {
		cells := []string{row.Name}
		for _, name := range names {
			cells = append(cells, row.format(name))
		}
		for _, c := range comparisons {
			cells = append(cells, formatRatio(row.ratio(c)))
		}
		printCells(table, cells)
	}
	printCells(table, last)
	return table.Flush()
}

func printCells(table io.Writer, cells []string) {
	fmt.Fprintf(table, "| %s\t|\n", strings.Join(cells, "\t| "))
}

// format returns the median of a subject in a unit that is easy to read.
func (r Row) format(subject string) string {
	median := stats.Median(r.Values[subject])
	switch {
	case r.Failed[subject] != "":
		return "failed"
	case math.IsNaN(median):
		return ""
	case r.Unit == "s":
		return fmt.Sprintf("%.1f", median*1000)
	}
	return fmt.Sprintf("%.1f %s", median, r.Unit)
}

// ratio is NaN where either has no value.
func (r Row) ratio(c comparison) float64 { return stats.Ratio(r.Values[c.own], r.Values[c.reference]) }

func formatRatio(ratio float64) string {
	if math.IsNaN(ratio) {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio)
}

// geoMean returns the geometric mean of the ratios of all times.
func (r *Report) geoMean(c comparison) float64 {
	var ratios []float64
	for _, row := range r.Rows {
		if row.Unit == "s" {
			ratios = append(ratios, row.ratio(c))
		}
	}
	return stats.GeoMean(ratios)
}

func (r *Report) writeJSON(path string) error {
	encoded, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	if err := os.WriteFile(path, append(encoded, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// draw draws a chart of each group of measurements.
func (r *Report) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("draw charts: %w", err)
	}
	for start := 0; start < len(r.Rows); {
		group := r.Rows[start].Group
		end := start
		for end < len(r.Rows) && r.Rows[end].Group == group {
			end++
		}
		path := filepath.Join(dir, strings.ReplaceAll(group, " ", "-")+".svg")
		if err := os.WriteFile(path, []byte(r.bars(group, r.Rows[start:end]).SVG()), 0o644); err != nil {
			return fmt.Errorf("draw charts: %w", err)
		}
		start = end
	}
	return nil
}

// bars makes a chart of some rows.
func (r *Report) bars(title string, rows []Row) chart.Bars {
	bars := chart.Bars{Title: title, Series: r.subjects()}
	for _, row := range rows {
		group := chart.Group{Label: row.Name}
		for _, name := range bars.Series {
			bar := chart.Bar{Value: stats.Median(row.Values[name]), Label: row.format(name)}
			if row.Unit == "s" && bar.Value > 0 {
				bar.Label += " ms"
			}
			group.Bars = append(group.Bars, bar)
		}
		bars.Groups = append(bars.Groups, group)
	}
	return bars
}
