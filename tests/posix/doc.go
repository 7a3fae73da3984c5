// Package posix holds the filesystem to what a plain directory does. Its tests are scripts of system calls, made by
// several users, that are run line by line on a union and on a directory of the filesystem that its layers lie on: both
// must give the same results, and in the end show the same tree. So no expectation is written down, and whatever the
// kernel and the host's filesystem do is what is asked for; a case only has to be thought of. The same scripts run on
// the kernel's overlay filesystem, which tells what of a difference is a union's nature. What differs, here and there,
// is listed in testdata with the reason; what is listed and does not differ fails as well.
//
// The scripts of the cases come in two parts, the first of which makes a lower layer. Random scripts do both, and
// remount and add layers in between.
//
// The tests run as root of a user namespace with many ids; run by root, in the host's.
package posix
