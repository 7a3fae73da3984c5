// Package strictjson decodes JSON that restricts something. What encoding/json does not know it leaves out, and the
// rest may then allow more than the text says: a misspelled rule, or one of a newer version. It also tells which
// values JSON would change without a word.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode decodes text, which must be one value whose fields into has.
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

// CheckText returns an error if JSON does not keep a string of value as it is: it puts U+FFFD in place of bytes that
// are not UTF-8.
func CheckText(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	const mark = `\ufffd` // the encoder's; the character itself, where it was there before, is not escaped
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

// escapes tells whether a backslash after text is the first of an escape sequence, and not itself escaped.
func escapes(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 0
}

// around returns the string in text that has a position in it.
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
