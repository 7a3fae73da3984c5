package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/rootless"
	"github.com/spf13/cobra"
)

// completeContainers has the shell complete container names.
func (a *app) completeContainers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	a.with(func(e *layered.Engine) error {
		list, _, err := e.Containers.List(cmd.Context())
		for _, c := range list {
			names = append(names, c.Name)
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeImages offers the names of images.
func (a *app) completeImages(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	err := a.withStore(cmd.Context(), func(s *layers.Store) error {
		images, err := s.Images(cmd.Context())
		for _, image := range images {
			names = append(names, image.RepoTags...)
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeBoth offers what inspect takes.
func (a *app) completeBoth(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	containers, _ := a.completeContainers(cmd, args, text)
	images, directive := a.completeImages(cmd, args, text)
	return append(containers, images...), directive
}

// onlyFirst completes the first argument by another function; what follows is a command and its arguments.
func onlyFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		if rootfs := cmd.Flag("rootfs"); len(args) > 0 || rootfs != nil && rootfs.Changed {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return complete(cmd, args, text)
	}
}

// flagChoices are the values of flags that have a fixed set of them, whatever the command.
var flagChoices = map[string][]string{
	"network":        {"none", "host", "slirp4netns", "default"},
	"pull":           pullChoices(),
	"userns":         {rootless.ModeHost, rootless.ModeKeepID, rootless.ModeNoMap},
	"type":           {"container", "image"},
	"storage-driver": driver.Names(),
	"log-level":      {"debug", "info", "warn", "error", "fatal"},
}

func pullChoices() (names []string) {
	for _, policy := range layered.PullPolicies {
		names = append(names, string(policy))
	}
	return names
}

// completeFlags has the shell complete values of the flags of a command and of all below it.
func completeFlags(cmd *cobra.Command) {
	for name, choices := range flagChoices {
		if cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
			cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for _, child := range cmd.Commands() {
		completeFlags(child)
	}
}

// completeFilter completes KEY=VALUE, given the keys and the values of those that have a fixed set of them.
func completeFilter(keys []string, values map[string][]string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		var all []string
		key, _, hasValue := strings.Cut(text, "=")
		if hasValue {
			for _, value := range values[key] {
				all = append(all, key+"="+value)
			}
			return all, directive
		}
		for _, key := range keys {
			all = append(all, key+"=")
		}
		return all, directive | cobra.ShellCompDirectiveNoSpace
	}
}

// completionName is the name under which the shell is to complete: docker for a link of that name.
func completionName(args []string, program string) string {
	if name := filepath.Base(program); name == "docker" && slices.Contains(args, "completion") {
		return name
	}
	return "rcrun"
}
