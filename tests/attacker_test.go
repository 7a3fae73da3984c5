package tests

import (
	"fmt"
	"os"
)

// attackEnv has the program of these tests attack the container that it runs in. The value is a name in attacks.
const attackEnv = "RCRUN_ATTACK"

// attacks are what the program of these tests does as an attacker. Each gets the arguments of the program and prints
// what it has found; an error means that the attack could not be carried out.
var attacks = map[string]func(args []string) error{
	"connections":  tryConnections,
	"exchange":     exchangePairs,
	"levels":       makeLevels,
	"files":        callFiles,
	"system calls": tellSystemCalls,
	"programs":     changePrograms,
	"processes":    lookAtProcesses,
}

// attack is the main function of the program as an attacker. It returns an exit code.
func attack(name string, args []string) int {
	do, known := attacks[name]
	if !known {
		fmt.Fprintf(os.Stderr, "there is no attack %q\n", name)
		return 1
	}
	if err := do(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// attackFlags are flags of run and create by which the container has this program at /attacker, to carry out an attack.
func (u *user) attackFlags(name string) []string {
	u.t.Helper()
	self, err := os.Executable()
	if err != nil {
		u.t.Fatal(err)
	}
	return []string{"-v", self + ":/attacker:ro", "-e", attackEnv + "=" + name}
}

// attacked runs a container of the image "bb" in which an attack is carried out, and returns what the attack printed.
func (u *user) attacked(name string, flags []string, args ...string) string {
	u.t.Helper()
	command := append([]string{"run", "--rm"}, u.attackFlags(name)...)
	command = append(append(command, flags...), "bb", "/attacker")
	return u.run(append(command, args...)...)
}
