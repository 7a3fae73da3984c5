package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/rcrun/rcrun/fusefs/mount"
	"github.com/rcrun/rcrun/internal/fuseoverlay"
	"github.com/spf13/cobra"
)

// unionCommand groups what the union filesystem does without containers.
func unionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Annotations: usesStore(storeUnused),
		Use:         "union",
		Short:       "Use the union filesystem by itself",
		Example: "  rcrun union mount -o lowerdir=top:bottom,upperdir=changes,workdir=work /mnt\n" +
			"  rcrun union unmount /mnt",
	}
	cmd.AddCommand(unionMountCommand(), unionUnmountCommand(), unionStatsCommand())
	return cmd
}

func unionMountCommand() *cobra.Command {
	var m fuseoverlay.Mount
	cmd := &cobra.Command{
		Use:   "mount [flags] MOUNTPOINT",
		Short: "Mount several directories as one",
		Long: "Mount several directories as one. The options are those of fuse-overlayfs; see fuse-rcrun --help.\n" +
			"Without upperdir the mount is read-only. Unlike there, redirect_dir and metacopy are on: turn both off " +
			"for\n" +
			"an upper directory that fuse-overlayfs or podman is to read.",
		Example: "  rcrun union mount -o lowerdir=top:bottom,upperdir=changes,workdir=work /mnt",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.Target = args[0]
			return m.Run(cmd.Context(), stageProgram)
		},
	}
	cmd.Flags().StringArrayVarP(&m.Options, "options", "o", nil, "options, separated by commas")
	cmd.Flags().BoolVarP(&m.Foreground, "foreground", "f", false,
		"serve the filesystem here instead of in a process of its own")
	cmd.Flags().BoolVarP(&m.Debug, "debug", "d", false, "print every request; in the foreground")
	return cmd
}

func unionUnmountCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unmount [flags] MOUNTPOINT...",
		Aliases: []string{"umount"},
		Short:   "Unmount unions",
		Long: "Unmount unions, and wait until their servers have ended. One that is in use, or that another mount " +
			"namespace has,\n" +
			"goes when its last user does, which is not waited for.",
		Example: "  rcrun union unmount /mnt",
		Args:    arguments(1, -1),
		RunE:    func(cmd *cobra.Command, args []string) error { return unmountAll(cmd.Context(), args) },
	}
}

func unionStatsCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "stats [flags] MOUNTPOINT",
		Short: "Print what the server of a mounted union was asked, and did",
		Long: "Print the counters of the server of a mounted union: requests and the bytes they moved, copy-ups,\n" +
			"cache hits and lookups. In a container, / is such a mount.",
		Example: "  rcrun union stats --format json /mnt",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stats, err := mount.ReadStats(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			switch format {
			case "":
				return printRows(statRows(stats), "", statColumns)
			case "json":
				return printJSONLines([]mount.Stats{stats})
			}
			return printObjects([]any{stats}, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	return cmd
}

// statRow is one counter.
type statRow struct {
	name         string
	value, bytes uint64
}

var statColumns = []column[statRow]{
	{"COUNTER", func(r statRow) string { return r.name }},
	{"VALUE", func(r statRow) string { return fmt.Sprint(r.value) }},
	{"BYTES", func(r statRow) string {
		if r.bytes == 0 {
			return ""
		}
		return fmt.Sprint(r.bytes)
	}},
}

func statRows(s mount.Stats) []statRow {
	var rows []statRow
	for _, kind := range slices.Sorted(maps.Keys(s.Requests)) {
		rows = append(rows, statRow{kind, s.Requests[kind], s.Bytes[kind]})
	}
	return append(rows,
		statRow{name: "copy-ups", value: s.CopyUps},
		statRow{name: "cache hits", value: s.CacheHits},
		statRow{name: "cache misses", value: s.CacheMisses},
		statRow{name: "lookups on disk", value: s.DiskLookups},
		statRow{name: "lookups in indexes", value: s.IndexLookups},
		statRow{name: "open files", value: s.OpenFiles},
		statRow{name: "nodes", value: s.Nodes})
}

// unmountAll unmounts unions. One that fails does not keep the others from their turn.
func unmountAll(ctx context.Context, targets []string) error {
	var all []error
	for _, target := range targets {
		path, err := filepath.Abs(target)
		if err == nil {
			err = mount.UnmountAndWait(ctx, resolved(path))
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// resolved returns a path without symbolic links; the path itself where they cannot be found out, as with a mount whose
// server has died.
func resolved(path string) string {
	if plain, err := filepath.EvalSymlinks(path); err == nil {
		return plain
	}
	return path
}
