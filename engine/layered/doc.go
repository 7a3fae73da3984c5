// Package layered is the engine together with the image store: what takes both containers and images.
//
// It is a package of its own because of what it costs to know the store: the libraries of images take most of the time
// in which a process starts. The processes of a container do not have them, so package engine, which they are made
// of, sees of the store what is in engine.Store. Two things are done here on their behalf: the command that starts a
// container finds its layers, and tells the monitor where they are; and the monitor has the layer of a container that
// goes with its end removed by EraseStage, a process of the whole program.
package layered
