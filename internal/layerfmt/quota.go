package layerfmt

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/docker/go-units"
)

// Quota limits what a container's layer may take on disk. Zero fields limit nothing.
type Quota struct {
	Bytes  int64 `json:"bytes,omitempty"`
	Inodes int64 `json:"inodes,omitempty"`
}

// The storage options of a container, as Docker and the library name them.
const (
	sizeOption   = "size"
	inodesOption = "inodes"
)

// ParseQuota reads the storage options of a container: size, such as 64m, and inodes, a number.
func ParseQuota(options map[string]string) (q Quota, err error) {
	for key, value := range options {
		switch key {
		case sizeOption:
			q.Bytes, err = ParseSize(value)
		case inodesOption:
			q.Inodes, err = ParseInodes(value)
		default:
			err = errors.New("unknown option: want size or inodes")
		}
		if err != nil {
			return Quota{}, fmt.Errorf("invalid storage option %s=%s: %w", key, value, err)
		}
	}
	return q, nil
}

// ParseSize reads a number of bytes with a unit, in Docker's form.
func ParseSize(text string) (int64, error) {
	size, err := units.RAMInBytes(text)
	if err != nil || size <= 0 {
		return 0, errors.New("want a size such as 64m")
	}
	return size, nil
}

// ParseInodes reads a number of inodes.
func ParseInodes(text string) (int64, error) {
	inodes, err := strconv.ParseInt(text, 10, 64)
	if err != nil || inodes <= 0 {
		return 0, errors.New("want a number of inodes such as 10000")
	}
	return inodes, nil
}

// Options is the inverse of ParseQuota.
func (q Quota) Options() map[string]string {
	options := map[string]string{}
	if q.Bytes > 0 {
		options[sizeOption] = strconv.FormatInt(q.Bytes, 10)
	}
	if q.Inodes > 0 {
		options[inodesOption] = strconv.FormatInt(q.Inodes, 10)
	}
	return options
}
