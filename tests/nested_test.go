package tests

import "testing"

// TestRefusedInContainer runs rcrun in a container that lets it make no container: the sentence says what to do about
// it.
func TestRefusedInContainer(t *testing.T) {
	u := newUserWithImage(t)
	inner := func(flags ...string) result {
		args := append([]string{"run", "--rm", "-v", u.path("rcrun") + ":/bin/rcrun:ro", "--tmpfs", "/inner"}, flags...)
		return u.try(append(args, "bb", "rcrun", "--root", "/inner/data", "--storage-driver", "fuse", "run", "--rm",
			"--rootfs", "/:O", "true")...)
	}
	last := func(r result, part ...string) {
		t.Helper()
		if r.code != 125 {
			t.Errorf("%+v", r)
		}
		contains(t, r.stderr, part...)
	}
	last(inner(), "/dev/fuse", "--device /dev/fuse")
	last(inner("-v", "/dev/fuse:/dev/fuse"), "user namespaces", "--security-opt seccomp=unconfined")
}
