// Package escape makes text safe to print on a terminal, as a single line. Names that images, registries and containers
// choose may contain anything, also what a terminal obeys.
package escape

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// IsCommand tells whether a terminal may take a character for a command, or print what follows in another order.
func IsCommand(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// Text escapes the characters that IsCommand reports, as Go does in quotes.
func Text(text string) string { return Except(text, "") }

// Except is Text that leaves the characters of keep as they are.
func Except(text, keep string) string {
	var line strings.Builder
	for _, r := range text {
		if IsCommand(r) && !strings.ContainsRune(keep, r) {
			line.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			line.WriteRune(r)
		}
	}
	return line.String()
}

// maxMessage bounds a message in bytes, because a container decides how long the paths in an error are.
const maxMessage = 2000

// Message returns a line of output as it is printed. It cuts a long one in the middle, because an error begins with the
// operation and ends with the cause.
func Message(line string) string {
	if len(line) <= maxMessage {
		return Text(line)
	}
	const half = maxMessage/2 - 20
	cut := fmt.Sprintf(" [%d bytes] ", len(line)-2*half)
	return Text(strings.ToValidUTF8(line[:half], "")) + cut + Text(strings.ToValidUTF8(line[len(line)-half:], ""))
}

// Error returns the message of an error. The lines of joined errors become one line.
func Error(err error) string {
	return Message(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}
