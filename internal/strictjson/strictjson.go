// Package strictjson decodes JSON that restricts something. What encoding/json does not know it leaves out, and the rest may
// then allow more than the text says: a misspelled rule, or one of a newer version.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
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
