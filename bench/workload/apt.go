package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// aptInstall installs a package of many small files in a chroot, by the apt of the tree. The package is a file, so
// nothing is downloaded.
type aptInstall struct{ files int }

// aptPackage is the path of the package in the chroot.
const aptPackage = Scratch + "/bench.deb"

// aptDevices are what apt and dpkg need of /dev.
var aptDevices = []string{"null", "zero", "urandom"}

func (a aptInstall) Setup(root string) error {
	build := filepath.Join(root, Scratch, "package")
	files := map[string]string{"DEBIAN/control": "Package: bench\nVersion: 1\nArchitecture: all\nMaintainer: bench " +
		"<bench@localhost>\nDescription: many files\n"}
	for i := range a.files {
		files[fmt.Sprintf("usr/share/bench/%d/file-%d", i/100, i)] = strings.Repeat(fmt.Sprintf("line of file %d\n", i),
			100)
	}
	for path, content := range files {
		path = filepath.Join(build, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make package: %w", err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("make package: %w", err)
		}
	}
	if err := (command{args: []string{"dpkg-deb", "--build", "-Znone", build, aptPackage}}).Run(root); err != nil {
		return err
	}
	if err := os.RemoveAll(build); err != nil {
		return fmt.Errorf("make package: %w", err)
	}
	return a.eachDevice(root, func(_, path string) error {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return fmt.Errorf("make device: %w", err)
		}
		return nil
	})
}

func (a aptInstall) Run(root string) (err error) {
	bind := func(host, path string) error {
		if err := unix.Mount(host, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", host, err)
		}
		return nil
	}
	if err := a.eachDevice(root, bind); err != nil {
		return err
	}
	defer a.eachDevice(root, func(_, path string) error { return unix.Unmount(path, unix.MNT_DETACH) })
	script := "export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive\n" +
		"exec apt-get -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io install -y ./" + aptPackage
	return command{args: []string{"chroot", root, "/bin/sh", "-c", "cd /\n" + script}}.Run("/")
}

func (a aptInstall) eachDevice(root string, do func(host, path string) error) error {
	for _, name := range aptDevices {
		if err := do("/dev/"+name, filepath.Join(root, "dev", name)); err != nil {
			return err
		}
	}
	return nil
}
