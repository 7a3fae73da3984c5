package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// What images, registries and containers call something may contain whatever a terminal obeys. It is escaped in
// messages, tables and JSON at all times, and in the output of templates on a terminal; elsewhere programs want it as
// it is. The output of a container is never changed.

// commands tells whether a terminal may take a character for a command, or print what follows in another order.
func commands(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// printable writes control characters as Go does in quotes: what an image or a container calls something is one line,
// and does nothing to the terminal.
func printable(text string) string { return escaped(text, "") }

// escaped is printable but for the characters of keep.
func escaped(text, keep string) string {
	var line strings.Builder
	for _, r := range text {
		if commands(r) && !strings.ContainsRune(keep, r) {
			line.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			line.WriteRune(r)
		}
	}
	return line.String()
}

// complain prints an error as one of ours, on one line.
func complain(err error) {
	line := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	fmt.Fprintln(os.Stderr, "rcrun:", message(line))
}

// maxMessage bounds a line of ours in bytes: a container decides how long the paths are that an error names.
const maxMessage = 2000

// message is a line of ours as it is printed. A long one is cut in the middle: an error begins with the operation and
// ends with the cause.
func message(line string) string {
	if len(line) <= maxMessage {
		return printable(line)
	}
	const half = maxMessage/2 - 20
	cut := fmt.Sprintf(" [%d bytes] ", len(line)-2*half)
	return printable(strings.ToValidUTF8(line[:half], "")) + cut + printable(strings.ToValidUTF8(line[len(line)-half:], ""))
}

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
		if commands(r) && r != '\n' {
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
	if _, err := io.WriteString(w.to, escaped(string(text), "\n\t")); err != nil {
		return 0, err
	}
	return len(text), nil
}
