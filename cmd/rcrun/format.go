package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"text/template"
)

// column is one column of a table: its heading, and its value for a row.
type column[R any] struct {
	heading string
	value   func(R) string
}

// printRows prints rows as a table, as JSON (an object a line) or by a Go template, as format says.
func printRows[R any](rows []R, format string, columns []column[R]) error {
	switch {
	case format == "json" || format == "{{json .}}":
		return printJSONLines(rows)
	case strings.HasPrefix(format, "table "):
		return fmt.Errorf("invalid --format %q: want json or a Go template", format)
	case format != "":
		return printTemplate(rows, format)
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
		cells[i] = cell(c)
	}
	fmt.Fprintln(out, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

func printJSONLines[R any](rows []R) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	for _, row := range rows {
		if err := encoder.Encode(row); err != nil {
			return fmt.Errorf("print as JSON: %w", err)
		}
	}
	return nil
}

// printTemplate prints each row by a Go template, which may use json and join as Docker's do.
func printTemplate[R any](rows []R, format string) error {
	functions := template.FuncMap{
		"json":  func(v any) (string, error) { text, err := json.Marshal(v); return string(text), err },
		"join":  strings.Join,
		"upper": strings.ToUpper,
		"lower": strings.ToLower,
	}
	t, err := template.New("format").Funcs(functions).Parse(format)
	if err != nil {
		return fmt.Errorf("read --format: %w", err)
	}
	for _, row := range rows {
		if err := t.Execute(os.Stdout, row); err != nil {
			return fmt.Errorf("print by --format: %w", err)
		}
		fmt.Println()
	}
	return nil
}

// printJSON prints a value as indented JSON.
func printJSON(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print as JSON: %w", err)
	}
	return nil
}

// shorten cuts text to n characters, the last of them an ellipsis.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}

const shortIDLen = 12

// shortID is the part of an id that people see.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) > shortIDLen {
		return id[:shortIDLen]
	}
	return id
}
