package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// fixedFlag is a flag of Docker's with the values that mean what rcrun does anyway. Every other value is refused.
type fixedFlag struct {
	value   string
	allowed []string
	why     string // there is no other value
}

// Set takes a value that changes nothing.
func (f *fixedFlag) Set(text string) error {
	if !slices.Contains(f.allowed, text) {
		return fmt.Errorf("want %s, because %s", strings.Join(f.allowed, " or "), f.why)
	}
	f.value = text
	return nil
}

func (f *fixedFlag) String() string { return f.value }

// Type names the argument in help texts.
func (f *fixedFlag) Type() string { return "string" }

// registerFixed adds the flags of run and create that tools pass although they change nothing.
func registerFixed(flags *pflag.FlagSet) {
	for _, f := range []struct {
		name, why string
		allowed   []string
	}{
		{"restart", "rcrun has no daemon that could start the container again", []string{"no"}},
		{"log-driver", "rcrun keeps the output of containers in one form", []string{"json-file"}},
		{"cgroupns", "a container always has a cgroup namespace of its own", []string{"private"}},
		{"ipc", "a container always has an IPC namespace of its own", []string{"private"}},
		{"isolation", "there is one kind of isolation", []string{"default"}},
	} {
		flags.Var(&fixedFlag{f.allowed[0], f.allowed, f.why}, f.name,
			fmt.Sprintf("only %s: %s", strings.Join(f.allowed, " or "), f.why))
	}
	registerContentTrust(flags)
}

// registerContentTrust adds the flag by which Docker's signatures are not looked at.
func registerContentTrust(flags *pflag.FlagSet) {
	const why = "signatures are checked as policy.json says, and Docker's are not"
	flags.Var(&fixedFlag{"true", []string{"true"}, why}, "disable-content-trust", "only true: "+why)
	flags.Lookup("disable-content-trust").NoOptDefVal = "true"
}
