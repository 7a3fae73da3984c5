package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// changes are the instructions of a Dockerfile that only change an image's configuration.
var changes = map[string]func(config *runConfig, args string) error{
	"CMD":         changeCmd,
	"ENTRYPOINT":  changeEntrypoint,
	"ENV":         changeEnv,
	"EXPOSE":      changeExpose,
	"HEALTHCHECK": changeHealthcheck,
	"LABEL":       changeLabel,
	"ONBUILD":     changeOnBuild,
	"SHELL":       changeShell,
	"STOPSIGNAL":  changeStopSignal,
	"USER":        changeUser,
	"VOLUME":      changeVolume,
	"WORKDIR":     changeWorkdir,
}

// applyChange carries out one instruction.
func applyChange(config *runConfig, change string) error {
	name, args, _ := strings.Cut(strings.TrimSpace(change), " ")
	apply, ok := changes[strings.ToUpper(name)]
	if !ok {
		return fmt.Errorf("%q is not an instruction that changes a configuration", name)
	}
	if args = strings.TrimSpace(args); args == "" {
		return errors.New("has no argument")
	}
	return apply(config, args)
}

func changeCmd(config *runConfig, args string) error {
	config.Cmd = config.command(args)
	return nil
}

func changeEntrypoint(config *runConfig, args string) error {
	config.Entrypoint = config.command(args)
	return nil
}

// command reads a JSON list of words, or makes a command of the shell with the text.
func (config *runConfig) command(args string) []string {
	if words, ok := jsonWords(args); ok {
		return words
	}
	shell := config.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), args)
}

func jsonWords(args string) (words []string, ok bool) {
	if !strings.HasPrefix(args, "[") {
		return nil, false
	}
	err := json.Unmarshal([]byte(args), &words)
	return words, err == nil
}

func changeEnv(config *runConfig, args string) error {
	pairs, err := keyValues(args)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		setEnv(config, p.key, p.value)
	}
	return nil
}

func setEnv(config *runConfig, key, value string) {
	for i, have := range config.Env {
		if strings.HasPrefix(have, key+"=") {
			config.Env[i] = key + "=" + value
			return
		}
	}
	config.Env = append(config.Env, key+"="+value)
}

func changeLabel(config *runConfig, args string) error {
	pairs, err := keyValues(args)
	if err != nil {
		return err
	}
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	for _, p := range pairs {
		config.Labels[p.key] = p.value
	}
	return nil
}

func changeExpose(config *runConfig, args string) error {
	for _, spec := range strings.Fields(args) {
		ports, proto, _ := strings.Cut(spec, "/")
		if proto == "" {
			proto = "tcp"
		}
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from == 0 || from > to {
			return fmt.Errorf("%q is not a port or a range of ports", spec)
		}
		for port := from; port <= to; port++ {
			addTo(&config.ExposedPorts, fmt.Sprintf("%d/%s", port, strings.ToLower(proto)))
		}
	}
	return nil
}

func changeVolume(config *runConfig, args string) error {
	paths, ok := jsonWords(args)
	if !ok {
		paths = strings.Fields(args)
	}
	for _, p := range paths {
		addTo(&config.Volumes, p)
	}
	return nil
}

func addTo(set *map[string]struct{}, member string) {
	if *set == nil {
		*set = map[string]struct{}{}
	}
	(*set)[member] = struct{}{}
}

func changeStopSignal(config *runConfig, args string) error {
	config.StopSignal = args
	return nil
}

func changeUser(config *runConfig, args string) error {
	config.User = args
	return nil
}

// changeWorkdir takes a relative path from the working directory that was set before.
func changeWorkdir(config *runConfig, args string) error {
	if !path.IsAbs(args) {
		args = path.Join("/", config.WorkingDir, args)
	}
	config.WorkingDir = path.Clean(args)
	return nil
}

type keyValue struct{ key, value string }

// keyValues reads `key=value key="with blanks"`, or the older form `key all the rest`.
func keyValues(args string) ([]keyValue, error) {
	words, err := splitWords(args)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(words[0], "=") {
		key, value, _ := strings.Cut(args, " ")
		return []keyValue{{key, strings.TrimSpace(value)}}, nil
	}
	pairs := make([]keyValue, len(words))
	for i, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is not of the form key=value", word)
		}
		pairs[i] = keyValue{key, value}
	}
	return pairs, nil
}

// splitWords splits at blanks. Single and double quotes and backslashes work as in a shell.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote, escaped := false, rune(0), false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			inWord, quote = true, r
		case quote == 0 && (r == ' ' || r == '\t'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("quotes are not closed in %q", text)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
