// Package driver is the graph driver "fuse" of go.podman.io/storage, and knows where the library's other drivers keep
// their files. Importing it registers the driver.
//
// On disk a layer is HOME/dir/ID with
//
//   - diff, the tree;
//   - parent, the id of the layer below as text, absent when there is none;
//   - index, for image layers, what is in the tree as package layerindex has it;
//   - work, for containers, an empty directory for the program that mounts the layer;
//   - quota, for containers with a limit.
//
// Decisions and their reasons:
//
//   - A store on a filesystem that keeps no xattrs of users is made "plain", and stays so: a file of that name in HOME
//     says it. What plain files cannot show is in the index of each image layer, by name, so that it is right in a copy
//     of the store, too. For containers it is in a record of xattrs, package xattrlog's, in work, because an index
//     cannot change all the time. The record is by inode number, so that renaming costs nothing. A process that unpacks
//     a layer holds that metadata in memory until the index is written. A layer without its index is broken: nothing
//     else tells its owners, and the image can be had again. A store with xattrs is not opened where the filesystem
//     keeps none.
//   - The driver removes layers by package rmtree, as staged directories of its own, because the library would hold a
//     descriptor open for each level of a tree, and a container decides how many levels there are.
//   - Get is for other users of the library. It has the union of a layer mounted by a [Mounter] that it is given,
//     because this package knows nothing of mounts. All callers share one mount, until the last of them puts it back.
//   - What a container has changed is packed from its own tree. References to what lies below are followed, so that the
//     tar is plain OCI. A file of the image that was changed under one of its names is written with all of them; only
//     the layer that the file comes from is searched for these.
//   - The library's drivers fill the holes of files, in layers and in copies of layers. That stays so: they are here
//     for comparison, and their code is not ours.
package driver
