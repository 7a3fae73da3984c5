package tests

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// generated are the files that rcrun writes for a container.
var generated = []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}

// optionsOfGenerated returns the mount options of the generated files in a container.
func (u *user) optionsOfGenerated(flags ...string) map[string][]string {
	u.t.Helper()
	options := map[string][]string{}
	for _, line := range strings.Split(u.run(append(append([]string{"run", "--rm"}, flags...), "bb", "cat",
		"/proc/mounts")...), "\n") {
		if fields := strings.Fields(line); len(fields) > 3 && slices.Contains(generated, fields[1]) {
			options[fields[1]] = strings.Split(fields[3], ",")
		}
	}
	if len(options) != len(generated) {
		u.t.Fatalf("the generated files have the mounts %v", options)
	}
	return options
}

// TestGeneratedFilesConfined looks at what a container may do with them.
func TestGeneratedFilesConfined(t *testing.T) {
	u := newUserWithImage(t)
	for _, test := range []struct {
		flags []string
		want  string
	}{{nil, "rw"}, {[]string{"--read-only"}, "ro"}, {[]string{"--userns", "keep-id", "--user", "0"}, "rw"},
		{[]string{"--privileged"}, "rw"}} {
		for path, options := range u.optionsOfGenerated(test.flags...) {
			for _, want := range []string{test.want, "nosuid", "nodev", "noexec"} {
				if !slices.Contains(options, want) {
					t.Errorf("%v: %s has the options %v, not %s", test.flags, path, options, want)
				}
			}
		}
	}
	u.prints("0:0 644", "run", "--rm", "bb", "stat", "-c", "%u:%g %a", "/etc/hosts")
	u.prints("0:0 644", "run", "--rm", "--userns", "keep-id", "bb", "stat", "-c", "%u:%g %a", "/etc/hosts")
	if r := u.try("run", "--rm", "bb", "sh", "-c",
		`printf '#!/bin/sh\necho ran' >/etc/hosts; chmod 755 /etc/hosts; /etc/hosts`); r.code != 126 || r.stdout != "" {
		t.Errorf("a program in /etc/hosts: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	for _, path := range generated {
		if r := u.try("run", "--rm", "--read-only", "bb", "sh", "-c", "echo x >>"+path); r.code == 0 ||
			!strings.Contains(r.stderr, "Read-only file system") {
			t.Errorf("--read-only: %s: exit code %d, %s", path, r.code, r.stderr)
		}
	}
}

// TestGeneratedFilesBounded fills them, in a container whose root is limited.
func TestGeneratedFilesBounded(t *testing.T) {
	u := newUserWithImage(t)
	r := u.try("run", "--name", "c1", "--storage-opt", "size=10m", "bb", "sh", "-c",
		`for f in hosts hostname resolv.conf; do dd if=/dev/zero bs=64k count=320 >>/etc/$f; done; cat /etc/hosts /etc/hostname /etc/resolv.conf | wc -c`)
	if strings.Count(r.stderr, "No space left on device") != 3 || len(strings.TrimSpace(r.stdout)) > len("2000000") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	var size int64
	filepath.WalkDir(u.path("home", ".local/share/rcrun/containers"),
		func(_ string, entry fs.DirEntry, err error) error {
			if info, err := entry.Info(); err == nil {
				size += info.Size()
			}
			return nil
		})
	if size > 1<<20 {
		t.Errorf("the container's own directory has %d bytes", size)
	}
}

// TestGeneratedFilesLast changes them: that is seen in the container until it ends, and in no layer.
func TestGeneratedFilesLast(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "bb", "sleep", "1000")
	before := u.run("exec", "c1", "cat", "/etc/hosts")
	u.run("exec", "c1", "sh", "-c", "echo 1.2.3.4 ours >>/etc/hosts")
	u.prints(before+"\n1.2.3.4 ours", "exec", "c1", "cat", "/etc/hosts")
	u.prints("", "diff", "c1")
	u.run("stop", "-t", "0", "c1")
	u.run("start", "c1")
	u.prints(before, "exec", "c1", "cat", "/etc/hosts")
}
