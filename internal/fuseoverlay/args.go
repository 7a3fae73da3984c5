package fuseoverlay

import (
	"fmt"
	"strings"
)

// overlayArgs are the arguments of a program that is called like fuse-overlayfs.
type overlayArgs struct {
	foreground, debug, version, help bool
	single                           bool     // answer one request at a time
	unknown                          []string // unknown arguments
	options                          []string // the values of all -o
	operands                         []string // [SOURCE] MOUNTPOINT
}

// parseOverlayArgs reads arguments as libfuse does: options and operands in any order, and those that mount(8) adds.
// Callers pass what some version of fuse-overlayfs takes, so an unknown argument is no error.
func parseOverlayArgs(args []string) (overlayArgs, error) {
	var a overlayArgs
	for i := 0; i < len(args); i++ {
		arg := args[i]
		value, hasValue := strings.CutPrefix(arg, "-o")
		switch {
		case arg == "-o":
			if i++; i == len(args) {
				return a, fmt.Errorf("option -o needs a value")
			}
			a.options = append(a.options, args[i])
		case hasValue:
			a.options = append(a.options, value)
		case arg == "-f":
			a.foreground = true
		case arg == "-d" || arg == "--debug":
			a.debug = true
		case arg == "-V" || arg == "--version":
			a.version = true
		case arg == "-h" || arg == "--help":
			a.help = true
		case arg == "-s":
			a.single = true
		case arg == "-n" || arg == "-v":
		case arg == "-N" || arg == "-t": // a namespace that mount(8) has entered; the filesystem type
			i++
		case arg == "--":
			a.operands = append(a.operands, args[i+1:]...)
			return a, nil
		case !strings.HasPrefix(arg, "-"):
			a.operands = append(a.operands, arg)
		default:
			a.unknown = append(a.unknown, arg)
		}
	}
	return a, nil
}

// source returns the source that the mount shows. mount(8) passes on its own source: by that and the mount point it
// tells whether an entry of fstab is mounted already.
func (a overlayArgs) source(otherwise string) string {
	if len(a.operands) == 2 {
		return a.operands[0]
	}
	return otherwise
}

// target returns the mount point.
func (a overlayArgs) target() (string, error) {
	if n := len(a.operands); n == 1 || n == 2 {
		return a.operands[n-1], nil
	}
	return "", fmt.Errorf("want [SOURCE] MOUNTPOINT, got %d operands", len(a.operands))
}
