package view

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// timeLayouts are the forms of a point in time that Docker takes. Without a zone they are local times.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15",
	"2006-01-02Z07:00", time.DateOnly}

// ParseTime reads a point in time, or a duration before now. "" is the zero time, and "0" is the start of 1970, as with
// Docker.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		return now.Add(-d), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	if t, ok := parseUnix(text); ok {
		return t, nil
	}
	return time.Time{}, errors.New("want a time such as 2006-01-02T15:04:05Z or 2006-01-02, a duration such as 10m, " +
		"or Unix seconds")
}

// parseUnix reads seconds since 1970 with up to nine digits of a fraction.
func parseUnix(text string) (t time.Time, ok bool) {
	const digits = 9
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > digits {
		return t, false
	}
	nanoseconds, err := strconv.ParseUint(fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return t, false
	}
	return time.Unix(seconds, int64(nanoseconds)), true
}
