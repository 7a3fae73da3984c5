package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/rcrun/rcrun/internal/escape"
	"golang.org/x/term"
)

// What images, registries and containers call something may contain whatever a terminal obeys. It is escaped in
// messages, tables and JSON at all times, and in the output of templates on a terminal; elsewhere programs want it as
// it is. The output of a container is never changed.

// complain prints an error as one of ours, on one line.
func complain(err error) { fmt.Fprintln(os.Stderr, "rcrun:", withFlags(escape.Error(err))) }

// printEncoded prints a value as JSON, in which what a terminal obeys is escaped, as JSON allows.
func printEncoded(value any, indent string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", indent)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print as JSON: %w", err)
	}
	var safe bytes.Buffer
	for _, r := range text.String() {
		if escape.IsCommand(r) && r != '\n' {
			fmt.Fprintf(&safe, `\u%04x`, r)
		} else {
			safe.WriteRune(r)
		}
	}
	_, err := safe.WriteTo(os.Stdout)
	return err
}

// templateOutput is where a template prints: standard output, through a filter if that is a terminal. A template that
// has control characters of its own, such as colours, is trusted with those of its values.
func templateOutput(format string) io.Writer {
	if !term.IsTerminal(int(os.Stdout.Fd())) || strings.ContainsFunc(format, unicode.IsControl) {
		return os.Stdout
	}
	return escapingWriter{os.Stdout}
}

// escapingWriter escapes all but line ends and tabs. Every Write has whole characters.
type escapingWriter struct{ to io.Writer }

func (w escapingWriter) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.to, escape.Except(string(text), "\n\t")); err != nil {
		return 0, err
	}
	return len(text), nil
}
