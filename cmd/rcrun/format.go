package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"text/template"
	"unicode"
)

// column is one column of a table: its heading, and its value for a row.
type column[R any] struct {
	heading string
	value   func(R) string
}

// printRows prints rows as a table, as JSON (an object a line) or by a Go template, as format says.
func printRows[R any](rows []R, format string, columns []column[R]) error {
	body, wantsTable := strings.CutPrefix(format, "table ")
	switch {
	case format == "json" || format == "{{json .}}":
		return printJSONLines(rows)
	case wantsTable:
		return printTemplateTable(rows, body)
	case format != "":
		return printTemplate(os.Stdout, rows, format)
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
		cells[i] = printable(strings.ReplaceAll(cell(c), "\t", " "))
	}
	fmt.Fprintln(out, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

// printable writes control characters as Go does in quotes: what an image or a container calls something is one line, and
// does nothing to the terminal.
func printable(text string) string {
	var line strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			line.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			line.WriteRune(r)
		}
	}
	return line.String()
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

// parseTemplate reads a Go template, which may use json, join and the like as Docker's do, and in which the shell's
// \t and \n mean what they look like.
func parseTemplate(format string) (*template.Template, error) {
	functions := template.FuncMap{
		"json":  func(v any) (string, error) { text, err := json.Marshal(v); return string(text), err },
		"join":  strings.Join,
		"upper": strings.ToUpper,
		"lower": strings.ToLower,
	}
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := template.New("format").Funcs(functions).Parse(format)
	if err != nil {
		return nil, fmt.Errorf("read --format: %w", err)
	}
	return t, nil
}

// printTemplate prints each row by a Go template.
func printTemplate[R any](out io.Writer, rows []R, format string) error {
	t, err := parseTemplate(format)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := t.Execute(out, row); err != nil {
			return fmt.Errorf("print by --format: %w", err)
		}
		fmt.Fprintln(out)
	}
	return nil
}

// printTemplateTable prints the rows in columns, below the names of the fields that the template uses.
func printTemplateTable[R any](rows []R, format string) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	headings := map[string]string{}
	for i := range reflect.TypeFor[R]().NumField() {
		name := reflect.TypeFor[R]().Field(i).Name
		headings[name] = strings.ToUpper(name)
	}
	if err := printTemplate(table, []map[string]string{headings}, format); err != nil {
		return err
	}
	if err := printTemplate(table, rows, format); err != nil {
		return err
	}
	return table.Flush()
}

// printObjects prints objects by a Go template that may use the names of their fields, or those of their JSON.
func printObjects(objects []any, format string) error {
	var text strings.Builder
	if err := printTemplate(&text, objects, format); err == nil {
		_, err = io.WriteString(os.Stdout, text.String())
		return err
	}
	var decoded []any
	raw, err := json.Marshal(objects)
	if err == nil {
		err = json.Unmarshal(raw, &decoded)
	}
	if err != nil {
		return fmt.Errorf("print by --format: %w", err)
	}
	return printTemplate(os.Stdout, decoded, format)
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
