// Package archive makes images of archives (Load), tars (Import) and containers (Commit), and archives of images (Save)
// and containers (Export).
//
// Decisions and their reasons:
//
//   - Images are written to archives by this package and not by the library, which would hold the lock on all layers
//     while a slow reader takes its time, and would give images new ids by translating their configurations. Layers are
//     written as the bytes that came in, and their digests are checked; only the manifests of OCI archives are
//     new.
//   - If an archive can be read at any place, nothing large is copied first: layers are read where they are in it.
//   - An image that is made here gets no layer of its own where the store has one of the same content upon the same
//     layers.
package archive
