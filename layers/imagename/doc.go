// Package imagename reads the names that users give to images and platforms, as Docker reads them.
//
//   - A name without a registry is one of Docker Hub's, unless registries.conf says how short names are resolved: then
//     a pull tries what that file says, as podman does.
//   - A name that reads like the beginning of an id ("sha256:0123") is refused for an image, because it would hide the
//     image that has this id.
//   - An image that does not say its platform fits any. No image is taken for one of another platform than the user
//     asked for, whatever an index of images says.
package imagename
