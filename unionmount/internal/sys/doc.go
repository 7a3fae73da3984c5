// Package sys has the system calls of a union on files behind descriptors, also O_PATH ones, which package beneath does
// not have.
package sys
