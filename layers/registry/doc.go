// Package registry transfers images between a store and registries, and keeps the credentials for registries.
//
// Decisions and their reasons:
//
//   - Blobs come from registries through package blobcache, and reach the library only when their digest and size are
//     verified. So several processes may pull at once, and a pull that was cut off goes on where it ended.
//   - Which image a name means is decided once, on the library's own source, and the signature policy judges that
//     image. What is then copied is what its manifest names by digest.
//   - A manifest may name other servers for a layer ("foreign", "nondistributable"). They are not asked, as Docker on
//     Linux does not ask them: the author of a manifest does not decide where a host connects to. The registry is asked
//     for the layer by its digest, and many have it.
//   - A layer is pushed in a compressed form that the registry has, if the store knows one: then nothing is compressed
//     and sent.
//   - What may pass is tried again: lost connections, and a registry that is overloaded or being restarted.
package registry
