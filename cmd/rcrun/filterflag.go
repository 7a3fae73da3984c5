package main

import (
	"fmt"
	"strings"
)

// parseFilters reads the values of --filter, which are pairs key=value, and gives each to add.
func parseFilters(flags []string, add func(key, value string) error) error {
	for _, flag := range flags {
		key, value, hasValue := strings.Cut(flag, "=")
		if !hasValue {
			return fmt.Errorf("invalid --filter %q: want key=value", flag)
		}
		if err := add(key, value); err != nil {
			return fmt.Errorf("invalid --filter %q: %w", flag, err)
		}
	}
	return nil
}

// filling has add, which takes pairs for a filter, take them for f.
func filling[F any](f *F, add func(f *F, key, value string) error) func(key, value string) error {
	return func(key, value string) error { return add(f, key, value) }
}
