package view

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"":                            {},
		"0":                           time.Unix(0, 0),
		"0s":                          now,
		"10m":                         now.Add(-10 * time.Minute),
		"1h30m":                       now.Add(-90 * time.Minute),
		"2026-01-30T10:00:00Z":        time.Date(2026, 1, 30, 10, 0, 0, 0, time.UTC),
		"2026-01-30T10:00:00.5+02:00": time.Date(2026, 1, 30, 8, 0, 0, 5e8, time.UTC),
		"2026-01-30":                  time.Date(2026, 1, 30, 0, 0, 0, 0, time.Local),
		"2026-01-30T10":               time.Date(2026, 1, 30, 10, 0, 0, 0, time.Local),
		"2026-01-30T10:11":            time.Date(2026, 1, 30, 10, 11, 0, 0, time.Local),
		"2026-01-30T10:11:12":         time.Date(2026, 1, 30, 10, 11, 12, 0, time.Local),
		"2026-01-30T10:11:12.25":      time.Date(2026, 1, 30, 10, 11, 12, 25e7, time.Local),
		"1136073600":                  time.Unix(1136073600, 0),
		"1136073600.000000001":        time.Unix(1136073600, 1),
		"1136073600.5":                time.Unix(1136073600, 5e8),
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"yesterday", "2026-13-01", "1.2.3", "1136073600.1234567890", "1.-5"} {
		if got, err := ParseTime(bad, now); err == nil {
			t.Errorf("%q is accepted as %v", bad, got)
		}
	}
}
