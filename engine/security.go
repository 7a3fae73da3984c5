package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/rcrun/rcrun/runtime"
)

// security is what --security-opt asks for.
type security struct {
	noNewPrivileges bool
	seccomp         seccompChoice
}

// seccompChoice is which seccomp profile the container gets: the zero value is the default of its other options.
type seccompChoice struct {
	unconfined bool
	builtin    bool   // Docker's profile, also with --privileged
	text       []byte // a profile of the user's, in JSON
}

// validateSecurity checks --security-opt, and puts the text of a seccomp profile in the place of its file's name, as
// Docker does: the name holds in the caller's working directory only, and the container is to start with the same
// profile each time.
func validateSecurity(host *HostConfig) error {
	if _, err := parseSecurity(host.SecurityOpt); err != nil {
		return err
	}
	for i, option := range host.SecurityOpt {
		name, value := cutSecurity(option)
		if name != "seccomp" {
			continue
		}
		choice, err := chooseSeccomp(value)
		if err != nil {
			return err
		}
		if choice.text == nil {
			continue
		}
		// What the profile means depends on capabilities that are not settled yet; here it only has to be one.
		if _, err := runtime.LoadSeccomp(choice.text, runtime.DefaultSpec()); err != nil {
			return fmt.Errorf("invalid HostConfig.SecurityOpt %q: %w", shortened(option), err)
		}
		compact := bytes.NewBufferString(name + "=")
		if err := json.Compact(compact, choice.text); err != nil {
			return fmt.Errorf("invalid HostConfig.SecurityOpt %q: %w", shortened(option), err)
		}
		host.SecurityOpt[i] = compact.String()
	}
	return nil
}

// shortened cuts what may be a whole profile for a message.
func shortened(option string) string {
	const most = 100
	if len(option) > most {
		return option[:most] + "..."
	}
	return option
}

// cutSecurity parts name=value, which Docker also takes as name:value.
func cutSecurity(option string) (name, value string) {
	i := strings.IndexAny(option, "=:")
	if i < 0 {
		return option, ""
	}
	return option[:i], option[i+1:]
}

// parseSecurity reads the options; of those with one name the last holds.
func parseSecurity(options []string) (s security, err error) {
	for _, option := range options {
		name, value := cutSecurity(option)
		switch {
		case name == "no-new-privileges" && (value == "" || value == "true"):
			s.noNewPrivileges = true
		case name == "no-new-privileges" && value == "false":
			s.noNewPrivileges = false
		case name == "seccomp" && value != "":
			if s.seccomp, err = chooseSeccomp(value); err != nil {
				return s, err
			}
		case name == "label" || name == "apparmor" && value == "unconfined":
			// Without root there is no label to set: what is asked for is what there is.
		default:
			return s, fmt.Errorf("invalid HostConfig.SecurityOpt %q: known are no-new-privileges, seccomp=unconfined, "+
				"seccomp=builtin, seccomp=FILE or JSON, label=... and apparmor=unconfined", shortened(option))
		}
	}
	return s, nil
}

// chooseSeccomp reads the value of --security-opt seccomp: a word, the name of a profile's file, or the profile itself.
func chooseSeccomp(value string) (choice seccompChoice, err error) {
	switch {
	case value == "unconfined":
		choice.unconfined = true
	case value == "builtin":
		choice.builtin = true
	case strings.HasPrefix(value, "{"):
		choice.text = []byte(value)
	default:
		if choice.text, err = os.ReadFile(value); err != nil {
			return choice, fmt.Errorf("read seccomp profile: %w", err)
		}
	}
	return choice, nil
}
