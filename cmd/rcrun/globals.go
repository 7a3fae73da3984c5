package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

// dockerGlobals are the flags that Docker's client has before its commands. Most of them choose a daemon, and here is
// none: what means this host is accepted, everything else is refused. DOCKER_HOST and DOCKER_CONTEXT, which choose for
// Docker's client, are not looked at: rcrun always means this host.
type dockerGlobals struct {
	hosts    []string
	config   string // directory with config.json, which has credentials; "" is the usual places
	context  string
	debug    bool
	logLevel string
}

func (g *dockerGlobals) register(root *cobra.Command) {
	flags := root.Flags()
	flags.StringVar(&g.config, "config", "",
		"directory whose config.json has the credentials for registries (default: where podman and docker keep them)")
	flags.StringVarP(&g.context, "context", "c", "", "only default: there is no other context")
	flags.BoolVarP(&g.debug, "debug", "D", false, "same as --log-level debug")
	flags.StringArrayVarP(&g.hosts, "host", "H", nil,
		"only unix://...: this host, since there is no daemon to connect to")
	flags.StringVarP(&g.logLevel, "log-level", "l", "",
		"print what the libraries for images log: debug, info, warn, error or fatal (default: nothing)")
	for _, name := range []string{"tls", "tlsverify"} {
		flags.Bool(name, false, "no effect: there is no daemon to connect to")
	}
	for _, name := range []string{"tlscacert", "tlscert", "tlskey"} {
		flags.String(name, "", "no effect: there is no daemon to connect to")
	}
	root.Version = version // which adds --version, and -v
	root.SetVersionTemplate("rcrun version {{.Version}}\n")
}

// apply does what the flags say, or refuses what they ask for.
func (g *dockerGlobals) apply() error {
	for _, host := range g.hosts {
		if !strings.HasPrefix(host, "unix://") {
			return fmt.Errorf("cannot use --host %s: rcrun has no daemon and runs containers on this host only", host)
		}
	}
	if g.context != "" && g.context != "default" {
		return fmt.Errorf("cannot use --context %s: rcrun has no daemon, so default is the only context", g.context)
	}
	return errors.Join(g.checkConfig(), g.setLogLevel())
}

func (g *dockerGlobals) checkConfig() error {
	if g.config == "" {
		return nil
	}
	info, err := os.Stat(g.config)
	if errors.Is(err, os.ErrNotExist) {
		return nil // login makes it
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return fmt.Errorf("cannot use --config %s: %w", g.config, err)
	}
	return nil
}

// setLogLevel has the libraries print what they log. Control characters in it are escaped.
func (g *dockerGlobals) setLogLevel() error {
	level := g.logLevel
	if g.debug {
		level = "debug"
	}
	if level == "" {
		return nil
	}
	parsed, err := logrus.ParseLevel(level)
	if err != nil || parsed < logrus.FatalLevel || parsed > logrus.DebugLevel {
		return fmt.Errorf("invalid --log-level %q: want debug, info, warn, error or fatal", level)
	}
	logrus.SetLevel(parsed)
	logrus.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	return nil
}
