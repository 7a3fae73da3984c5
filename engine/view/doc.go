// Package view describes containers, images and the host to people and programs: listings, their filters, inspection,
// disk usage, history and host information. Nothing here changes anything.
//
// The objects are Docker's, from github.com/moby/moby/api. That module holds the types of Docker's API and little else
// (its dependencies were dependencies of this module before), so that the command line, a server of the API and a
// program that imports the engine show the same facts, and no field has to be copied by hand. Facts that Docker's
// object has no field for stand beside it, in a struct that embeds it.
//
// This package stands above package layered because an image's size or the state of the store belongs to most of what
// it shows. The processes of a container show nothing, and do not have it.
//
// Damaged records do not hide the intact ones: a call returns what it could read, and beside it an error for each
// record that it could not.
package view
