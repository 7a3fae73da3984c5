package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Environment of the tests, set by scripts/test.
const (
	binaryEnv = "RCRUN"        // the binary to be tested; ../bin/rcrun without
	mapEnv    = "RCRUN_MAP"    // of a copy of the tests in a container: a file to be written by mmap(2)
	debianEnv = "RCRUN_DEBIAN" // a tar of a Debian root filesystem; ../.cache/debian-bookworm.tar without
)

// sharedBinary is a copy of the binary that belongs to the user of the tests: every test hard-links it, and the kernel
// allows that for one's own files only.
var sharedBinary string

// overlayBinary is the same of the program that lies beside it and is called like fuse-overlayfs.
var overlayBinary string

// podmanLock starts the name of a file in memory with podman's locks, which stays until the host starts again.
const podmanLock = "/dev/shm/libpod_rootless_lock_"

// ownPrefix starts the names of the tests' own directories below /tmp.
const ownPrefix = "rct"

func TestMain(m *testing.M) {
	if path := os.Getenv(mapEnv); path != "" {
		os.Exit(mapAndWait(path))
	}
	if what := os.Getenv(insideEnv); what != "" {
		os.Exit(runInsider(what))
	}
	if os.Getenv(denyEnv) != "" {
		os.Exit(denyMemory(os.Args[1:]))
	}
	if what := os.Getenv(strangerEnv); what != "" {
		os.Exit(beStranger(what))
	}
	if os.Getenv(probeEnv) != "" {
		os.Exit(probeCalls())
	}
	if what := os.Getenv(bareEnv); what != "" {
		os.Exit(serveBare(what))
	}
	if name := os.Getenv(attackEnv); name != "" {
		os.Exit(attack(name, os.Args[1:]))
	}
	if os.Getenv(runEnv) == "" {
		os.Exit(superviseTests())
	}
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if os.Geteuid() == 0 {
		fmt.Println("skipped: these tests are about an ordinary user; run \"make test\"")
		return 0
	}
	before := ownFiles()
	dir, err := os.MkdirTemp("/tmp", ownPrefix)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	sharedBinary = filepath.Join(dir, "rcrun")
	overlayBinary = filepath.Join(dir, "fuse-rcrun")
	beside := filepath.Join(filepath.Dir(binary()), "fuse-rcrun")
	if err := errors.Join(copyFile(binary(), sharedBinary, 0o755), copyFile(beside, overlayBinary, 0o755)); err != nil {
		fmt.Println(err)
		return 1
	}
	status := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Println(err)
		status = 1
	}
	for path := range ownFiles() {
		// Another run of the same user's may have made the one, and podman keeps the other for each user that ran it.
		if !before[path] && !strings.HasPrefix(path, "/tmp/"+ownPrefix) && !strings.HasPrefix(path, podmanLock) {
			fmt.Println("left behind by the tests:", path)
			status = 1
		}
	}
	return status
}

func binary() string {
	if path := os.Getenv(binaryEnv); path != "" {
		return path
	}
	return "../bin/rcrun"
}

func debianTar() string {
	if path := os.Getenv(debianEnv); path != "" {
		return path
	}
	return "../.cache/debian-bookworm.tar"
}

// ownFiles are the user's files in the places where programs leave some.
func ownFiles() map[string]bool {
	found := map[string]bool{}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", fmt.Sprintf("/run/user/%d", os.Getuid())} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // no such place here
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err == nil && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Getuid()) {
				found[filepath.Join(dir, entry.Name())] = true
			}
		}
	}
	return found
}

func copyFile(from, to string, perm os.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, perm)
}
