// Package intake brings images into a store, from wherever they come: it chooses the image of the wanted platform,
// unpacks its layers and makes its record.
//
// Decisions and their reasons:
//
//   - A layer is read once: it is decompressed, verified, unpacked and indexed as it comes. Nothing is put on record
//     before both of its digests have been found to be right.
//   - A layer whose content is in the store under another id is cloned from that, file by file. Its blob is then
//     neither fetched nor put on record, because only the image says that the blob has this content. A clone takes over
//     what a bad disk has done to the original; a deep check finds the damage in both.
//   - Layers are unpacked without a lock on the store, into a directory of their own, and moved into place under the
//     lock: pulls do not hold up anything else. Their files are flushed to disk first, so that a layer on record is
//     whole after a power failure.
//   - A registry or an image layout may have an index of images under a name. This package decides which image of an
//     index is meant, in any depth, and shows the library that one alone, because the library looks into the outermost
//     index only.
//   - The signature policy is asked about every image that is loaded or pulled, and every tar that is imported, before
//     anything is looked up in the store: a name gives an image the trust that people have in the name.
//   - A transfer claims the contents of its layers while it lasts. A transfer that ends early removes those layers that
//     it brought and that no other process has claimed or needs.
package intake
