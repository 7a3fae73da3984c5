// Package escape writes text that may contain whatever a terminal obeys, such as names that images, registries and
// containers chose, so that it is one line and does nothing to the terminal.
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

// Text writes what IsCommand names as Go does in quotes.
func Text(text string) string { return Except(text, "") }

// Except is Text but for the characters of keep.
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

// maxMessage bounds a message in bytes: a container decides how long the paths are that an error names.
const maxMessage = 2000

// Message is a line of ours as it is printed. A long one is cut in the middle: an error begins with the operation and
// ends with the cause.
func Message(line string) string {
	if len(line) <= maxMessage {
		return Text(line)
	}
	const half = maxMessage/2 - 20
	cut := fmt.Sprintf(" [%d bytes] ", len(line)-2*half)
	return Text(strings.ToValidUTF8(line[:half], "")) + cut + Text(strings.ToValidUTF8(line[len(line)-half:], ""))
}

// Error is the message of an error. The lines of several that were joined become one.
func Error(err error) string {
	return Message(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}
