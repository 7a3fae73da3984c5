package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// ErrConflict is the class of errors about a name that is taken or a container in a state that forbids the request.
var ErrConflict = errors.New("conflict")

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// reserveName gives name to the container id, atomically.
func (d Dirs) reserveName(name, id string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("invalid container name %q: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	err := os.Symlink(id, filepath.Join(d.names(), name))
	if errors.Is(err, fs.ErrExist) {
		owner, _ := os.Readlink(filepath.Join(d.names(), name)) // only for the message
		return fmt.Errorf("%w: the container name %q is already in use by container %s: remove or rename that container to reuse the name",
			ErrConflict, name, owner)
	}
	if err != nil {
		return fmt.Errorf("reserve container name: %w", err)
	}
	return nil
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
func (d Dirs) reserveRandomName(id string, draw func(n int) int) (string, error) {
	for try := range 6 {
		name := randomName(try, draw)
		if err := d.reserveName(name, id); err == nil {
			return name, nil
		} else if !errors.Is(err, ErrConflict) {
			return "", err
		}
	}
	return shortID(id), d.reserveName(shortID(id), id)
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

// names lists the names of every container as a map from id.
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
