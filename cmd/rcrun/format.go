package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/rcrun/rcrun/internal/escape"
)

// column is one column of a table: its heading, and its value for a row.
type column[R any] struct {
	heading string
	value   func(R) string
}

// printRows prints rows as a table, as JSON (an object a line) or by a Go template, as format says.
func printRows[R any](rows []R, format string, columns []column[R]) error {
	body, wantsTable := strings.CutPrefix(format, "table")
	body = strings.TrimSpace(body)
	switch {
	case format == "json":
		return printJSONLines(rows)
	case wantsTable && body != "":
		return printTemplateTable(rows, body)
	case format != "" && !wantsTable:
		t, err := parseTemplate(format)
		if err != nil {
			return err
		}
		return printTemplate(templateOutput(format), rows, t)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	writeRow(table, columns, func(c column[R]) string { return c.heading })
	for _, row := range rows {
		writeRow(table, columns, func(c column[R]) string { return c.value(row) })
	}
	return table.Flush()
}

func writeRow[R any](out io.Writer, columns []column[R], cell func(column[R]) string) {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = escape.Text(strings.ReplaceAll(cell(c), "\t", " "))
	}
	fmt.Fprintln(out, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

func printJSONLines[R any](rows []R) error {
	for _, row := range rows {
		if err := printEncoded(row, ""); err != nil {
			return err
		}
	}
	return nil
}

// printJSON prints a value as indented JSON.
func printJSON(value any) error { return printEncoded(value, "    ") }

// shorten cuts text to n characters, the last of them an ellipsis.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}
