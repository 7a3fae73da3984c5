package main

import (
	"strings"
	"testing"
)

// TestTableCells prints what images may say of themselves: it stays in its line and column, and the terminal is safe.
func TestTableCells(t *testing.T) {
	columns := []column[string]{
		{"CREATED BY", func(r string) string { return r }},
		{"SIZE", func(string) string { return "1B" }},
	}
	for in, want := range map[string]string{
		"RUN a && \tb":            "RUN a &&  b\t1B\n",
		"RUN <<EOF\nx\nEOF":       `RUN <<EOF\nx\nEOF` + "\t1B\n",
		"\x1b[2J\x07\x7f\u009b1m": `\x1b[2J\a\x7f\u009b1m` + "\t1B\n",
		"a\u202eb\u2028c\xff":     `a\u202eb\u2028c` + "\ufffd\t1B\n",
		"héllo 'quoted' \"…\"":    "héllo 'quoted' \"…\"\t1B\n",
	} {
		var out strings.Builder
		writeRow(&out, columns, func(c column[string]) string { return c.value(in) })
		if out.String() != want {
			t.Errorf("%q is printed as %q, want %q", in, out.String(), want)
		}
	}
}
