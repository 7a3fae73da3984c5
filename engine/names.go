package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// validName tells whether a name can be a container's: [a-zA-Z0-9][a-zA-Z0-9_.-]+. (A regular expression would be
// compiled at the start of every process of a container.)
func validName(name string) bool {
	return len(name) > 1 && isAlphanumeric(name[0]) && strings.Trim(name, nameChars) == ""
}

// checkName refuses a name that cannot be a container's.
func checkName(name string) error {
	if validName(name) {
		return nil
	}
	return invalidf("invalid container name %q: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
}

// validHostname tells whether a name can be a host's, and a word in /etc/hosts.
func validHostname(name string) bool {
	return len(name) <= 63 && strings.Trim(name, nameChars) == "" && isAlphanumeric(name[0]) && name[len(name)-1] != '-'
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

func isAlphanumeric(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// reserveName gives name to the container id, atomically.
func (d Dirs) reserveName(ctx context.Context, name, id string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := os.Symlink(id, filepath.Join(d.names(), name))
	if errors.Is(err, fs.ErrExist) {
		return d.nameTaken(ctx, name, id)
	}
	if err != nil {
		return fmt.Errorf("reserve container name: %w", err)
	}
	return nil
}

// nameTaken reports the conflict, unless the owner is gone: then the name was left behind, and is taken over, by one
// at a time.
func (d Dirs) nameTaken(ctx context.Context, name, id string) error {
	if d.isLeftBehind(name) {
		held, err := waitLock(ctx, d.namesLock(), time.Second)
		if err != nil {
			return fmt.Errorf("reserve container name: %w", err)
		}
		defer held.release()
		if d.isLeftBehind(name) {
			if err := os.Remove(filepath.Join(d.names(), name)); err != nil {
				return fmt.Errorf("reserve container name: %w", err)
			}
		}
		if os.Symlink(id, filepath.Join(d.names(), name)) == nil {
			return nil
		}
	}
	owner, _ := os.Readlink(filepath.Join(d.names(), name)) // only for the message
	return conflictf("the container name %q is already in use by container %s: "+
		"remove or rename that container to reuse the name", name, owner)
}

// isLeftBehind tells whether the owner of a name is gone. Its directory is made before the name is reserved, and
// removed after it is released.
func (d Dirs) isLeftBehind(name string) bool {
	owner, err := os.Readlink(filepath.Join(d.names(), name))
	if err != nil {
		return false
	}
	_, err = os.Lstat(d.Container(owner))
	return errors.Is(err, fs.ErrNotExist)
}

// releaseName takes name back from the container id; a name that is not its own is left alone.
func (d Dirs) releaseName(name, id string) error {
	path := filepath.Join(d.names(), name)
	owner, err := os.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && owner != id {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("release container name: %w", err)
	}
	return nil
}

// reserveRandomName gives the container a free name of the form adjective_surname. After a few collisions a digit is
// appended, and in the end the short id serves.
func (d Dirs) reserveRandomName(ctx context.Context, id string, draw func(n int) int) (string, error) {
	for try := range 6 {
		name := randomName(try, draw)
		if err := d.reserveName(ctx, name, id); err == nil {
			return name, nil
		} else if !errdefs.IsConflict(err) {
			return "", err
		}
	}
	return ShortID(id), d.reserveName(ctx, ShortID(id), id)
}

// randomName draws a name; draw(n) is a random number below n.
func randomName(try int, draw func(n int) int) string {
	for {
		name := adjectives[draw(len(adjectives))] + "_" + surnames[draw(len(surnames))]
		if name == "boring_wozniak" { // Steve Wozniak is not boring
			continue
		}
		if try > 0 {
			name += strconv.Itoa(draw(10))
		}
		return name
	}
}

// allNames lists the names of every container as a map from id.
func (d Dirs) allNames() (map[string][]string, error) {
	entries, err := os.ReadDir(d.names())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list container names: %w", err)
	}
	names := map[string][]string{}
	for _, entry := range entries {
		if id, err := os.Readlink(filepath.Join(d.names(), entry.Name())); err == nil {
			names[id] = append(names[id], entry.Name())
		}
	}
	return names, nil
}

// defaultDraw is the source of names for people; it need not be cryptographic.
func defaultDraw(n int) int { return rand.IntN(n) }

var (
	adjectives = strings.Fields(`able amused avid bold boring brave bright brisk calm candid clever cosmic cool crisp curious
		daring deft eager earnest easy elegant epic fair fervent fine fond frank fresh gentle glad graceful grand happy
		hardy honest hopeful humble jolly jovial keen kind lively loyal lucid mellow merry mild modest neat nimble noble
		patient placid playful plucky polite proud quick quiet quirky ready serene sharp silly sincere sleepy smart snug
		sober spry steady stoic sunny swift tender thrifty tidy upbeat vivid warm wise witty zealous zen`)
	surnames = strings.Fields(`agnesi allen almeida archimedes babbage banach bardeen bartik bell bohr boole borg brahmagupta
		brattain carson cerf chandrasekhar clarke codd cray curie darwin dijkstra dirac einstein elion engelbart euclid
		euler faraday fermat fermi feynman franklin galileo gauss goldberg goodall hamilton hawking heisenberg hertz
		hilbert hodgkin hoover hopper hypatia johnson kalam kare keller kepler khorana knuth kowalevski lamarr lamport
		leakey liskov lovelace mayer mccarthy mcclintock meitner mendel mirzakhani montalcini morse napier newton nobel
		noether pascal pasteur payne perlman pike poincare ptolemy raman ramanujan ride ritchie rubin sammet shannon
		shockley sinoussi stallman swirles tesla thompson torvalds turing varahamihira wescoff wilson wozniak wright yalow yonath`)
)
