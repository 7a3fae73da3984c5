// Package layers keeps images, and the layers of containers, in a store that belongs wholly to the caller.
//
// This package knows images, their layers and containers by name and id: it lists, names, describes and removes them.
// What else is done with a store has packages of its own, which take a [Store]:
//
//   - layers/registry pulls and pushes images, and keeps credentials for registries;
//   - layers/archive makes images of archives, tars and containers, and archives of images;
//   - layers/upkeep checks, repairs and prunes a store;
//   - layers/driver is the graph driver that writes the layers, layers/tree the trees of files that they are;
//   - layers/imagename reads names of images and platforms, layers/progress tells how far work is.
//
// layers/internal/core has the open store with its records and work in progress, and layers/internal/intake brings
// images in. Imports go one way: registry, archive and upkeep import intake and this package, intake imports this
// package, this package imports core, core imports driver, and driver imports tree.
//
// Decisions and their reasons:
//
//   - go.podman.io/storage keeps the records of images, layers and containers, with their names and locks, and what is
//     needed to write an image layer out again byte for byte. go.podman.io/image transfers images. Podman is built on
//     both, so users know their files, configuration and errors.
//   - A graph driver of our own, "fuse", writes the layers: trees in the encoding of package layerfmt, in which all
//     files belong to the caller. So nothing here needs a user namespace, newuidmap or any other program, and rm -rf
//     removes a store.
//   - A layer holds only what it adds. Making a container copies nothing, and [Store.ContainerStack] follows the
//     parents of layers without opening the store's records.
//   - The library's drivers overlay and vfs can be chosen when a store is made, for comparison and for the kernel's
//     speed. Their files have their owners on disk. So a process that opens such a store must be user 0 of a user
//     namespace that has the ids. This package does not check that; the commands run themselves again in such a
//     namespace. A store keeps its driver: the name of the directory with the library's records shows it.
//   - Nothing here needs a mounted layer: Diff, Changes and the rest read the trees.
//   - The layer of a container has the id of the container, so that [Store.ContainerStack] needs no record to find it.
//   - Names of images are normalised as Docker does it: "x" is docker.io/library/x:latest.
//   - The store notes a registry's digest of an image when the image is pulled or pushed. No registry has the manifest
//     that the store makes of an image, because layers are compressed on their way to a registry.
//   - An image gets its name last, and loses its names together with its record.
//   - Errors have the classes of github.com/containerd/errdefs. What a caller may want to tell apart beyond that has a
//     type of its own, such as imagename.PlatformError. No text names a flag or a command: the command line adds those.
//   - A call that may wait or work for long takes a context. The library's locks cannot be given up while a process
//     waits for them, and a change to the records is finished once it has begun; so a context that is cancelled ends a
//     call before its next step.
package layers
