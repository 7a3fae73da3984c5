package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command has an example and a place in the list of commands, and texts fit a terminal.
func TestHelpOfEveryCommand(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Short == "" || !strings.HasPrefix(cmd.Example, "  ") {
			t.Errorf("%s: has no description, or no indented example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long) {
			if len(line) > 125 {
				t.Errorf("%s: a line of its description has %d characters", cmd.CommandPath(), len(line))
			}
		}
		if cmd.HasParent() && cmd.Parent().Parent() == nil && cmd.GroupID == "" {
			t.Errorf("%s: is in no group of the help", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check((&app{}).rootCommand())
}

// TestUnknownCommands looks whether commands that do not exist are told from those that do.
func TestUnknownCommands(t *testing.T) {
	for args, want := range map[string]bool{
		"image nosuch": false, "layer -f": true, "image ls nosuch": true, "image": true, "image --help": true,
		"--root x union nosuch": false,
		"cp a b":                false, "cp -a a b": false, "image cp -a": false, "-D nosuch": false,
		"-H unix:///x ps": true, "--version": true, "": true,
		"__complete run": true, "completion bash": true, "run -v a:b img": true, "help nosuch": true,
	} {
		root := (&app{}).rootCommand()
		root.InitDefaultHelpCmd()
		root.InitDefaultCompletionCmd()
		if err := checkCommand(root, strings.Fields(args)); (err == nil) != want {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestCommandsWithoutStore compares the commands of groups with those of the same names above them: both work on the
// store, or none does. Those that never do are such as a store that cannot be opened must not keep from their work.
func TestCommandsWithoutStore(t *testing.T) {
	root := (&app{}).rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for args, want := range map[string]string{
		"ps": storeForSizes, "container ls": storeForSizes, "container exec": storeUnused, "exec": storeUnused,
		"union mount": storeUnused, "completion bash": storeUnused, "help": storeUnused, "info": storeReported,
		"system info": storeReported, "system df": "", "run": "", "container rm": "", "images": "", "pull": "",
	} {
		cmd, _, err := root.Find(strings.Fields(args))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := storeUseOf(cmd); got != want {
			t.Errorf("%s: it says %q of the store, want %q", args, got, want)
		}
	}
	for _, name := range []string{cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd} {
		if got := storeUseOf(&cobra.Command{Use: name + " [args]"}); got != storeUnused {
			t.Errorf("%s: it says %q of the store", name, got)
		}
	}
}
