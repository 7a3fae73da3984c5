package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/layers/registry"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// dockerHub is the registry of names without one.
const dockerHub = "docker.io"

// loginFlags are the flags of login.
type loginFlags struct {
	username, password string
	passwordStdin      bool
}

func (a *app) loginCommand() *cobra.Command {
	var flags loginFlags
	var getLogin bool
	cmd := &cobra.Command{
		Annotations: usesStore(storeUnused),
		Use:         "login [flags] [REGISTRY]",
		Short:       "Log in to a registry (default docker.io); podman uses the same login",
		Example: "  rcrun login registry.example\n" +
			"  pass show registry | rcrun login -u me --password-stdin registry.example",
		Args: arguments(0, 1),
	}
	common := a.addRegistryFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, options := registryArgument(args), common.registry()
		known, err := registry.KnownCredentials(cmd.Context(), name, options)
		if err != nil {
			return err
		}
		if getLogin {
			return printLogin(name, known)
		}
		if flags == (loginFlags{}) && known.Username != "" {
			fmt.Println("Authenticating with existing credentials...")
			if err := registry.Login(cmd.Context(), name, known, options); !errdefs.IsUnauthorized(err) {
				return succeed(err)
			}
		}
		credentials, err := flags.credentials(known.Username)
		if err != nil {
			return err
		}
		return succeed(registry.Login(cmd.Context(), name, credentials, options))
	}
	cmd.Flags().StringVarP(&flags.username, "username", "u", "", "user name")
	cmd.Flags().StringVarP(&flags.password, "password", "p", "",
		"password (other users of this machine can see it: use --password-stdin)")
	cmd.Flags().BoolVar(&flags.passwordStdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&getLogin, "get-login", false, "print the user who is logged in")
	return cmd
}

func registryArgument(args []string) string {
	if len(args) == 0 {
		return dockerHub
	}
	return args[0]
}

// succeed says so unless there was an error.
func succeed(err error) error {
	if err == nil {
		fmt.Println("Login Succeeded")
	}
	return err
}

func printLogin(name string, known registry.Credentials) error {
	if known.Username == "" {
		return fmt.Errorf("not logged in to %s", name)
	}
	fmt.Println(known.Username)
	return nil
}

// credentials returns what the flags and, where they say nothing, the user at the terminal give; known is the name that
// the user had before.
func (f loginFlags) credentials(known string) (registry.Credentials, error) {
	c := registry.Credentials{Username: f.username, Password: f.password}
	if f.passwordStdin {
		return f.withStdin(c)
	}
	if (c.Username == "" || c.Password == "") && !stdinIsTerminal() {
		return c, errors.New("standard input is not a terminal, so nobody can be asked: " +
			"give --username, and the password with --password-stdin")
	}
	var err error
	if c.Username == "" {
		if c.Username, err = ask("Username", known); err != nil {
			return c, err
		}
	}
	if c.Password == "" {
		c.Password, err = askSecret("Password: ")
	}
	return c, err
}

func (f loginFlags) withStdin(c registry.Credentials) (registry.Credentials, error) {
	if f.username == "" || f.password != "" {
		return c, errors.New("--password-stdin goes with --username, and without --password")
	}
	password, err := io.ReadAll(io.LimitReader(os.Stdin, 1<<20))
	c.Password = strings.TrimRight(string(password), "\r\n")
	return c, err
}

// ask asks the user for a line; an empty one stands for what is offered.
func ask(question, offer string) (string, error) {
	if offer != "" {
		question += " (" + offer + ")"
	}
	fmt.Print(question + ": ")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return cmp.Or(strings.TrimSpace(line), offer), err
}

// askSecret asks for something that is not to be seen.
func askSecret(question string) (string, error) {
	fmt.Print(question)
	secret, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Println()
	return string(secret), err
}

func (a *app) logoutCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Annotations: usesStore(storeUnused),
		Use:         "logout [flags] [REGISTRY]",
		Short:       "Log out of a registry (default docker.io)",
		Example:     "  rcrun logout registry.example\n  rcrun logout --all",
		Args:        arguments(0, 1),
	}
	common := a.addRegistryFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, options := registryArgument(args), common.registry()
		if all {
			if err := registry.LogoutAll(cmd.Context(), options); err != nil {
				return err
			}
			fmt.Println("Removed login credentials for all registries")
			return nil
		}
		if err := registry.Logout(cmd.Context(), name, options); err != nil {
			return err
		}
		fmt.Println("Removing login credentials for", name)
		return nil
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "log out of all registries")
	return cmd
}
