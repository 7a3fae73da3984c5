package archive

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rcrun/rcrun/layers"
)

// changeShell sets the shell for commands of later instructions that are not lists.
func changeShell(config *runConfig, args string) error {
	words, ok := jsonWords(args)
	if !ok || len(words) == 0 {
		return errors.New(`want a list, such as ["/bin/bash","-c"]`)
	}
	config.Shell = words
	return nil
}

// changeOnBuild notes an instruction for images that are built on this one.
func changeOnBuild(config *runConfig, args string) error {
	name, _, _ := strings.Cut(args, " ")
	switch strings.ToUpper(name) {
	case "ONBUILD", "FROM", "MAINTAINER":
		return fmt.Errorf("%s cannot be an instruction of ONBUILD", name)
	}
	config.OnBuild = append(config.OnBuild, args)
	return nil
}

// changeHealthcheck reads `[--interval=30s ...] CMD command` or `NONE`.
func changeHealthcheck(config *runConfig, args string) error {
	check := &layers.Healthcheck{}
	kind, rest, optioned := "", args, false
	for {
		kind, rest, _ = strings.Cut(rest, " ")
		rest = strings.TrimSpace(rest)
		option, isOption := strings.CutPrefix(kind, "--")
		if !isOption {
			break
		}
		optioned = true
		if err := setOption(check, option); err != nil {
			return err
		}
	}
	switch words, isList := jsonWords(rest); {
	case strings.EqualFold(kind, "NONE") && rest == "" && !optioned:
		check.Test = []string{"NONE"}
	case !strings.EqualFold(kind, "CMD") || rest == "":
		return errors.New("want options and CMD with a command, or NONE alone")
	case isList:
		check.Test = append([]string{"CMD"}, words...)
	default:
		check.Test = []string{"CMD-SHELL", rest}
	}
	config.Healthcheck = check
	return nil
}

// setOption reads one option of a health check, without the dashes.
func setOption(h *layers.Healthcheck, option string) (err error) {
	name, value, _ := strings.Cut(option, "=")
	durations := map[string]*time.Duration{
		"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod,
		"start-interval": &h.StartInterval,
	}
	into, isDuration := durations[name]
	switch {
	case isDuration:
		if *into, err = time.ParseDuration(value); err == nil && *into < 0 {
			err = errors.New("it is negative")
		}
	case name == "retries":
		if h.Retries, err = strconv.Atoi(value); err == nil && h.Retries < 0 {
			err = errors.New("it is negative")
		}
	default:
		err = errors.New("there is no such option")
	}
	if err != nil {
		return fmt.Errorf("option --%s: %w", option, err)
	}
	return nil
}
