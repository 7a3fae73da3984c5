package engine

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const shortLen = 12 // characters of an id that people see, and that the host name is made of

// newID returns 32 random bytes in hexadecimal. An id whose first twelve characters are all digits is drawn again:
// as a host name it would be taken for a number.
func newID(random io.Reader) (string, error) {
	for {
		raw := make([]byte, 32)
		if _, err := io.ReadFull(random, raw); err != nil {
			return "", fmt.Errorf("draw a container id: %w", err)
		}
		id := hex.EncodeToString(raw)
		if _, err := strconv.ParseInt(ShortID(id), 10, 64); err != nil {
			return id, nil
		}
	}
}

// ShortID is the part of an id that people see. The id may be of an image and have its algorithm in front.
func ShortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) > shortLen {
		return id[:shortLen]
	}
	return id
}
