// Package layers keeps images and the layers of containers, in a store that belongs wholly to the caller.
//
// Decisions, and their reasons:
//
//   - go.podman.io/storage keeps the records of images, layers and containers, their names and locks, and what is
//     needed to write an image layer out again byte for byte; go.podman.io/image brings images in. Both are what
//     podman runs on, so their files, configuration and error cases are known to users.
//   - The layers themselves are written by a graph driver of our own, "fuse": trees in the encoding of package
//     layerfmt, all files the caller's. So nothing here needs a user namespace, newuidmap or any other program, and
//     rm -rf removes a store.
//   - On disk a layer is ROOT/fuse/dir/ID with diff (the tree), parent (the id of the layer below, as text; absent
//     when there is none), for image layers index (what is in the tree, as package layerindex has it) and for
//     containers work (an empty directory for whoever mounts). A layer holds only what it adds: there is nothing to
//     copy when a container is made, and [Store.ContainerStack] follows the parents without opening the store's
//     records.
//   - A store on a filesystem that keeps no xattrs of users is made "plain", and stays so: a file of that name in
//     ROOT/fuse says it. What plain files cannot show is then in the index of each image layer alone, by name, so that
//     it is right in a copy of the store, too; and for containers in a record of their xattrs, package xattrlog's, in
//     work, since what is changed all the time cannot be an index. It is by inode number, so that renaming costs
//     nothing. Whoever unpacks a layer holds that metadata in memory until its index is written. A layer without its
//     index is broken: nobody could tell its owners, and the image can be had again. A store with xattrs is not opened
//     where there are none.
//   - The library's drivers overlay and vfs can be chosen for a store when it is made, to compare with and to have the
//     kernel's speed. Their files have their owners on disk, so whoever opens such a store must be user 0 of a user
//     namespace that has the ids; this package takes that for granted, and commands run themselves again in one. A
//     store keeps its driver, which shows in the name of the directory with the library's records.
//   - The library removes a layer with a descriptor open for each of its levels, and opens no store as long as it
//     cannot remove what a killed process has left. So our driver removes layers by package rmtree, as staged
//     directories of its own. What a container has written with the other drivers is removed before the library is
//     asked to remove the rest. What the library has staged is moved to the abandoned work of this package before the
//     library looks for it.
//   - Nothing here needs a layer to be mounted: Diff, Changes and the rest read the trees. The driver's Get is for
//     others who use the library. It has the union of a layer mounted by a [Mounter] that it is given, since this
//     package knows nothing of mounts; all who ask share one mount until the last of them puts it back.
//   - A container's layer has the id of the container. That is what makes the previous point possible.
//   - What is loaded is read once: decompressed, verified, unpacked and indexed as it comes. Nothing is put on record
//     before both of its digests have been found to be right. Of an archive that can be read at any place nothing
//     large is copied first.
//   - A layer whose content is there under another id is cloned from that, file by file, and its blob is neither
//     fetched nor put on record: that it has this content, only the image says. A clone takes over what a bad disk has
//     done to the other, which "store check --deep" finds in both.
//   - Layers are unpacked without a lock on the store, into a directory of their own, and moved into place under the
//     lock: pulls do not hold up anything else. Before that their files are flushed to disk, so that a layer on record
//     is whole after a power failure.
//   - Images are written to archives by this package and not by the library, which would hold the lock on all layers
//     while somebody reads at the other end, and give images new ids by translating their configurations. Layers are
//     the bytes that came in, which their digests are held to; only manifests of OCI archives are made anew.
//   - What a container has changed is packed from its own tree: references to what lies below are followed, so that
//     the tar is plain OCI. A file of the image that was changed under one of its names is written with all of them,
//     for which the one layer that it is from is searched.
//   - Names of images are normalised as docker does it: "x" is docker.io/library/x:latest.
//   - Blobs come from registries through package blobcache, and into the library's hands only when their digest and
//     size are verified. Which image a name means is decided once, on the library's own source, and the signature
//     policy judges that; what is then copied is what its manifest names by digest.
//   - Which image of an index is meant is decided here, in any depth, and the library is shown that one: it looks into
//     the outermost index only. An image is never taken for one of another platform than was asked for, whatever an
//     index says.
//   - A registry's digest of an image is noted when it is pulled or pushed. The manifest that the store makes of an
//     image is in no registry, because layers are compressed on their way there.
//   - The signature policy is asked about every image that is loaded or pulled, and every tar that is imported, before
//     anybody looks whether it is here: a name gives an image the trust that people have in the name.
//   - The library's drivers fill the holes of files, in layers and in copies of layers: they are here for comparison,
//     and where they write is not ours.
//   - A transfer claims the contents of its layers while it lasts. One that ends early removes those layers that it
//     brought and that nobody else has claimed or needs.
//   - An image gets its name last, and loses its names together with its record. Whatever changes the store holds a
//     locked directory in ROOT/tmp meanwhile; one that is there without the lock says that a process was killed over
//     its work. Only then does the next one look for what is there but not on record, or on record but not finished,
//     and removes it. What a killed transfer had brought in whole stays for a day, to make its repetition cheaper.
//   - The library keeps all records of a kind in one file, and goes on with what is in its memory after that could not
//     be written. So its memory is dropped after an error; and a record that it cannot read, which would keep it from
//     opening the store, is taken out of the file, of which a copy stays.
//   - On a full disk nothing could be removed, since the records without it are written before those with it go. So a
//     store keeps a reserve of room for that.
package layers
