// Package tests runs the built binary from end to end, as an ordinary user on a real kernel: everything that a user
// sees of rcrun is checked here, and what it leaves behind.
//
// Each test is a user of its own: a home, a run directory and a temporary directory below one directory with a short
// path, and a name of the binary in it, by which its processes are known. At the end of a test all containers are
// removed, and then no process, no mount and no file of it may be left.
//
// Hosts that lack something (newuidmap, subordinate ids, /dev/fuse, space on the disk) are made of this one in a user
// and mount namespace of the test's, with the thing in question mounted over.
//
// What a hostile container, image or registry tries is a test, too. The program of these tests is the attacker in a
// container (attacks in attacker_test.go).
//
// Results are compared with facts, never with durations; waiting is bounded, and the bound is no expectation.
package tests
