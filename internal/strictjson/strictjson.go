// Package strictjson decodes JSON that restricts something. Package encoding/json ignores fields that it does not know,
// and without these the rest may allow more than the text says: a field may be misspelled, or of a newer version. This
// package also finds values that JSON would change silently.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode decodes text, which must be a single value all of whose fields are known to into.
func Decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}

// CheckText returns an error if JSON would change a string in value: it replaces bytes that are not UTF-8 by U+FFFD.
func CheckText(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	const mark = `\ufffd` // the encoder writes this; it does not escape a U+FFFD of the value itself
	for at := 0; ; at += len(mark) {
		next := bytes.Index(text[at:], []byte(mark))
		if next < 0 {
			return nil
		}
		at += next
		if escapes(text[:at]) {
			return fmt.Errorf("%s is not valid UTF-8", around(text, at))
		}
	}
}

// escapes tells whether a backslash after text begins an escape sequence, and is not itself escaped.
func escapes(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 0
}

// around returns the string in text that contains a position.
func around(text []byte, at int) string {
	start := at
	for start > 0 && !(text[start-1] == '"' && escapes(text[:start-1])) {
		start--
	}
	end := at
	for end < len(text) && !(text[end] == '"' && escapes(text[:end])) {
		end++
	}
	return fmt.Sprintf(`"%s"`, text[start:end])
}
