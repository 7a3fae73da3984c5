package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Arguments may be any bytes, but a container's record, its OCI specification and the messages between its processes
// are JSON, which would put U+FFFD in place of what is not UTF-8: another directory would be mounted, and the command
// would get another argument. So such arguments are refused, but for names of files that only this process uses.

// localFlags are the flags whose value is the name of a file, or a directory, that only this process uses.
var localFlags = []string{"authfile", "cert-dir", "config", "env-file", "iidfile", "input", "label-file", "output"}

// checkText refuses arguments of a command that are not UTF-8.
func checkText(cmd *cobra.Command, args []string) (err error) {
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if slices.Contains(localFlags, flag.Name) {
			return
		}
		for _, value := range flagValues(flag) {
			if !utf8.ValidString(value) && err == nil {
				err = notText("--"+flag.Name, value)
			}
		}
	})
	if err != nil {
		return err
	}
	for i, arg := range args {
		if !utf8.ValidString(arg) && !isLocalArgument(cmd, i) {
			return notText("argument", arg)
		}
	}
	return nil
}

func flagValues(flag *pflag.Flag) []string {
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{flag.Value.String()}
}

// isLocalArgument tells whether an argument is the name of a file that only this process uses.
func isLocalArgument(cmd *cobra.Command, i int) bool {
	switch cmd.Name() {
	case "import":
		return i == 0
	case "unmount", "stats":
		return true
	}
	return false
}

func notText(what, value string) error {
	return fmt.Errorf("%s %q is not valid UTF-8; names and arguments must be", what, value)
}

// pathText writes a path in one way that nothing else is written in: a backslash, a control character and a byte that
// is not UTF-8 as printf(1) reads them with %b, everything else as it is.
func pathText(path string) string {
	var text strings.Builder
	for len(path) > 0 {
		r, size := utf8.DecodeRuneInString(path)
		switch {
		case r == '\\':
			text.WriteString(`\\`)
		case r == utf8.RuneError && size == 1, !strconv.IsPrint(r):
			text.WriteString(escapedBytes(path[:size]))
		default:
			text.WriteString(path[:size])
		}
		path = path[size:]
	}
	return text.String()
}

// escapedBytes writes bytes as \n, \t or \xe9.
func escapedBytes(bytes string) string {
	switch bytes {
	case "\n":
		return `\n`
	case "\t":
		return `\t`
	}
	var text strings.Builder
	for i := range len(bytes) {
		fmt.Fprintf(&text, `\x%02x`, bytes[i])
	}
	return text.String()
}
