package engine

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
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
		if _, err := strconv.ParseInt(shortID(id), 10, 64); err != nil {
			return id, nil
		}
	}
}

func shortID(id string) string {
	if len(id) > shortLen {
		return id[:shortLen]
	}
	return id
}
