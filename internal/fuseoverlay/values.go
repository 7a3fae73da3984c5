package fuseoverlay

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rcrun/rcrun/internal/idmap"
)

// parseEither takes one of two values, one for no and one for yes.
func parseEither(into *bool, value, no, yes string) error {
	if value != no && value != yes {
		return fmt.Errorf("want %s or %s", no, yes)
	}
	*into = value == yes
	return nil
}

// parseSeconds parses a number of seconds, which may be a fraction. A time of many years means forever.
func parseSeconds(timeout **time.Duration, value string) error {
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || !(seconds >= 0) {
		return fmt.Errorf("%q is not a number of seconds", value)
	}
	*timeout = nil
	if seconds < float64(math.MaxInt64/time.Second) {
		d := time.Duration(seconds * float64(time.Second))
		*timeout = &d
	}
	return nil
}

// parseMapping reads triples of an id on disk, the id that is shown for it, and the number of ids, separated by
// colons.
func parseMapping(text string) (idmap.Map, error) {
	fields := strings.Split(text, ":")
	if len(fields)%3 != 0 {
		return nil, fmt.Errorf("want triples of id on disk, id shown and count, separated by colons")
	}
	var maps idmap.Map
	for len(fields) > 0 {
		var numbers [3]uint32
		for i := range numbers {
			n, err := strconv.ParseUint(fields[i], 10, 32)
			if err != nil {
				return nil, err
			}
			numbers[i] = uint32(n)
		}
		maps = append(maps, idmap.Mapping{Host: numbers[0], Container: numbers[1], Size: numbers[2]})
		fields = fields[3:]
	}
	return maps, nil
}

func parseCount(into *int, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("want a number of at least 1")
	}
	*into = n
	return nil
}

func parseID(into **uint32, text string) error {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return err
	}
	id := uint32(n)
	*into = &id
	return nil
}

// splitEscaped splits text at separators without a backslash before them. The backslashes stay, because the parts may
// be split again before they are unescaped.
func splitEscaped(text string, separator byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // what follows means itself
		case separator:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

// splitOptions splits the value of -o at commas. The label of a context may contain commas if it is in quotes.
func splitOptions(list string) []string {
	options := splitEscaped(list, ',')
	for i := 0; i < len(options); i++ {
		name, value, _ := strings.Cut(options[i], "=")
		quoted := strings.HasSuffix(name, "context") && strings.HasPrefix(value, `"`)
		for quoted && !strings.HasSuffix(value[1:], `"`) && i+1 < len(options) {
			value += "," + options[i+1]
			options = slices.Delete(options, i+1, i+2)
		}
		if quoted {
			options[i] = name + "=" + value
		}
	}
	return options
}

// unescape removes the backslashes before characters.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		out.WriteByte(text[i])
	}
	return out.String()
}
