// Package tests runs the built binary from end to end, as an ordinary user on a real kernel. It checks everything that
// a user sees of rcrun, and what rcrun leaves behind.
//
// Each test is a user of its own: a home, a run directory and a temporary directory below one directory with a short
// path, and the binary under a name in it. At the end of a test the harness removes all containers. Then no process, no
// mount and no file of the test may be left.
//
// The tests run in a child of a supervisor (family_test.go), which becomes the parent of every orphan. So whatever the
// tests began descends from the supervisor, and the harness counts and ends nothing else: no process of another run,
// program or account. Other programs of the machine may copy the mounts of the host, and with them those of a test.
// Such a copy is theirs, and a server that it keeps alive is no failure.
//
// Hosts that lack something (newuidmap, subordinate ids, /dev/fuse, space on the disk) are made of this one, in a user
// and mount namespace of the test's, with something else mounted over what must be missing.
//
// What a hostile container, image or registry tries is a test, too. The program of these tests is the attacker in a
// container (attacks in attacker_test.go).
//
// Results are compared with facts, never with durations. A test waits for a condition, and package patience bounds the
// wait: the bound is no expectation, and grows with the load of the machine.
package tests
