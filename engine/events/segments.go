package events

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// digits is how many a segment's name has. Names in the order of numbers are in that of the alphabet, too.
const digits = 12

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }

func (j *Journal) segment(number uint64) string { return j.path(fmt.Sprintf("%0*d", digits, number)) }

// numbers lists the segments, the oldest first. Other files do not count. A journal without an event has none.
func (j *Journal) numbers() ([]uint64, error) {
	entries, err := os.ReadDir(j.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	var numbers []uint64
	for _, entry := range entries {
		if number, ok := parseNumber(entry.Name()); ok && entry.Type().IsRegular() {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func parseNumber(name string) (number uint64, ok bool) {
	if len(name) != digits {
		return 0, false
	}
	number, err := strconv.ParseUint(name, 10, 64)
	return number, err == nil && number > 0
}

// last is the number of the last segment; 0 if there is none.
func (j *Journal) last() (uint64, error) {
	numbers, err := j.numbers()
	if len(numbers) == 0 {
		return 0, err
	}
	return numbers[len(numbers)-1], nil
}

// after is the number of the oldest segment that follows on one; 0 if there is none.
func (j *Journal) after(number uint64) (uint64, error) {
	numbers, err := j.numbers()
	if err != nil {
		return 0, err
	}
	i, _ := slices.BinarySearch(numbers, number+1)
	if i == len(numbers) {
		return 0, nil
	}
	return numbers[i], nil
}
