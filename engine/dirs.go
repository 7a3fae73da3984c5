package engine

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"github.com/rcrun/rcrun/internal/own"
	"golang.org/x/sys/unix"
)

// Dirs are the two directories that rcrun writes to, both absolute.
type Dirs struct {
	Data string `json:"data"` // images, layers, containers: survives a reboot
	Run  string `json:"run"`  // sockets and mount points
}

// CheckRuntimeDir refuses an XDG_RUNTIME_DIR that the caller can use but that is not the caller's own, as it is after
// su without "-": its owner could put sockets of their own there, which would be given what the caller's commands are
// given. One that is not there, or cannot be written to, is not used.
func CheckRuntimeDir(env func(string) string) error {
	base, ok := sessionDir(env)
	if !ok {
		return nil
	}
	if err := own.CheckDir(base); err != nil {
		return fmt.Errorf("XDG_RUNTIME_DIR: %w; unset the variable, or log in with \"su -\"", err)
	}
	return nil
}

// sessionDir is the directory that XDG_RUNTIME_DIR names, if it can be used.
func sessionDir(env func(string) string) (dir string, ok bool) {
	dir = env("XDG_RUNTIME_DIR")
	return dir, filepath.IsAbs(dir) && unix.Access(dir, unix.W_OK) == nil
}

// DefaultDirs returns the directories for the user that env describes ($XDG_DATA_HOME, $XDG_RUNTIME_DIR, $HOME).
func DefaultDirs(env func(string) string) (Dirs, error) {
	data, variable := env("XDG_DATA_HOME"), "XDG_DATA_HOME"
	if data == "" {
		home := env("HOME")
		if home == "" {
			return Dirs{}, fmt.Errorf("find the data directory: neither XDG_DATA_HOME nor HOME is set, "+
				"and user %d has no home in /etc/passwd", os.Getuid())
		}
		data, variable = filepath.Join(home, ".local", "share"), "HOME"
	}
	if !filepath.IsAbs(data) {
		return Dirs{}, fmt.Errorf("find the data directory: %s is not an absolute path", data)
	}
	if err := checkWritable(filepath.Join(data, "rcrun")); err != nil {
		return Dirs{}, fmt.Errorf("find the data directory: %s is %s: %w; set it to a directory of yours",
			variable, env(variable), err)
	}
	dirs := Dirs{Data: filepath.Join(data, "rcrun")}
	dirs.Run = filepath.Join(dirs.Data, "run")
	if base, ok := sessionDir(env); ok {
		dirs.Run = filepath.Join(base, "rcrun")
	}
	return dirs, nil
}

// checkWritable returns why the caller can neither write to dir nor make it.
func checkWritable(dir string) error {
	switch err := unix.Access(dir, unix.W_OK|unix.X_OK); {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT) && dir != "/":
		return checkWritable(filepath.Dir(dir))
	default:
		return fmt.Errorf("you cannot write to %s (%w)", dir, err)
	}
}

// SetHome gives a process without HOME, as one of cron or of a service may be, the one of the user's entry in passwd.
func SetHome() {
	if os.Getenv("HOME") != "" {
		return
	}
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		os.Setenv("HOME", u.HomeDir)
	}
}

// make creates both directories, for their owner alone, or checks those that are there.
func (d Dirs) make() error {
	for _, dir := range []string{d.Data, d.Run} {
		err := own.CheckDir(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			err = own.CheckAbove(dir)
		}
		if err != nil {
			return fmt.Errorf("make directory of state: %w", err)
		}
	}
	for _, dir := range []string{d.Data, d.Run, d.containers(), d.names()} {
		if err := own.MakeDir(dir); err != nil {
			return fmt.Errorf("make directory of state: %w", err)
		}
	}
	file, err := os.OpenFile(d.namesLock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("create state directory: %w", err)
	}
	return file.Close()
}

func (d Dirs) containers() string { return filepath.Join(d.Data, "containers") }
func (d Dirs) names() string      { return filepath.Join(d.Data, "names") }
func (d Dirs) namesLock() string  { return filepath.Join(d.Data, "names.lock") }

// Container is the directory of the container with the full id. It is there from before its layer is made to after
// that is removed.
func (d Dirs) Container(id string) string { return filepath.Join(d.Data, "containers", id) }

// Store is the directory of the image store.
func (d Dirs) Store() string { return filepath.Join(d.Data, "storage") }

// StoreRun is the image store's directory for what may be lost at the next boot.
func (d Dirs) StoreRun() string { return filepath.Join(d.Run, "storage") }

// runtimeDir is where the monitor of a container keeps its socket and the mount point of the root.
func (d Dirs) runtimeDir(id string) string { return filepath.Join(d.Run, ShortID(id)) }
