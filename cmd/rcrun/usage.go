package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is an error in how a command was called.
type usageError struct {
	cmd  *cobra.Command
	text string
	line bool // whether the usage line helps
}

func (e *usageError) Error() string { return e.text }

// printHint prints what to look at after an error in how a command was called.
func printHint(err error) {
	var usage *usageError
	if !errors.As(err, &usage) {
		return
	}
	if usage.line {
		fmt.Fprintf(os.Stderr, "\nUsage:  %s\n\n", usage.cmd.UseLine())
	}
	fmt.Fprintf(os.Stderr, "See '%s --help'.\n", usage.cmd.CommandPath())
}

// flagError is the error of a flag that does not exist or has a wrong value, with the flags that may be meant.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		if instead, known := absentFlag(cmd, unknown.GetSpecifiedName()); known {
			return &usageError{cmd: cmd, text: fmt.Sprintf("'%s' has no --%s: %s", cmd.CommandPath(),
				unknown.GetSpecifiedName(), instead)}
		}
		var close []string
		for _, name := range closeFlags(cmd, unknown.GetSpecifiedName()) {
			close = append(close, "--"+name)
		}
		if len(close) > 0 {
			text += ": did you mean " + strings.Join(close, " or ") + "?"
		}
	}
	return &usageError{cmd: cmd, text: text}
}

// closeFlags returns the flags of a command whose names are like one that does not exist.
func closeFlags(cmd *cobra.Command, name string) []string {
	names := &cobra.Command{SuggestionsMinimumDistance: suggestionDistance} // which knows what is alike
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names.AddCommand(&cobra.Command{Use: flag.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	return names.SuggestionsFor(name)
}

// suggestionDistance is how many letters of a name may be wrong, or missing, for another to be offered instead.
const suggestionDistance = 2

// arguments returns a check of how many arguments a command is given. A most of -1 is no limit.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		text := fmt.Sprintf("'%s' %s", cmd.CommandPath(), wantedArguments(least, most))
		return &usageError{cmd: cmd, text: text, line: true}
	}
}

func wantedArguments(least, most int) string {
	switch {
	case most == 0:
		return "accepts no arguments"
	case least == most:
		return "requires " + argumentCount(least)
	case most < 0:
		return "requires at least " + argumentCount(least)
	case least == 0:
		return "requires at most " + argumentCount(most)
	}
	return fmt.Sprintf("requires at least %d and at most %s", least, argumentCount(most))
}

func argumentCount(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// checkCommand refuses a command that does not exist, for which cobra would offer others that are not meant, or print
// the help of its group and end well.
func checkCommand(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil {
		cmd, rest = root, args
	}
	if cmd != root && cmd.Runnable() || len(rest) > 0 && strings.HasPrefix(rest[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	cmd.Flags().SetInterspersed(false) // what follows the name that is wrong may be anything
	if cmd.ParseFlags(rest) != nil || cmd.Flags().NArg() == 0 {
		return nil // what else is wrong, cobra finds
	}
	return unknownCommand(cmd, cmd.Flags().Arg(0))
}

// unknownCommand is the error of a command that its parent does not have.
func unknownCommand(parent *cobra.Command, name string) error {
	path := strings.TrimPrefix(parent.CommandPath()+" "+name, parent.Root().Name()+" ")
	if instead, known := absent(path); known {
		return &usageError{cmd: parent, text: fmt.Sprintf("rcrun has no command %q: %s", path, instead)}
	}
	text := fmt.Sprintf("unknown command %q for %q", name, parent.CommandPath())
	parent.SuggestionsMinimumDistance = suggestionDistance
	if close := parent.SuggestionsFor(name); len(close) > 0 {
		text += ": did you mean " + strings.Join(close, " or ") + "?"
	}
	return &usageError{cmd: parent, text: text}
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Annotations: usesStore(storeUnused),
		Use:         "help [COMMAND]",
		Short:       "Help about any command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if parent, _, err := cmd.Root().Find(args); err == nil {
				for _, child := range parent.Commands() {
					if child.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(child.Name(), child.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil {
				return unknownCommand(cmd.Root(), args[0])
			}
			if len(rest) > 0 && topic.HasSubCommands() {
				return unknownCommand(topic, rest[0])
			}
			topic.InitDefaultHelpFlag()
			topic.InitDefaultVersionFlag()
			return topic.Help()
		},
	}
}
