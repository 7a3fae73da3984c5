package layers

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers/imagename"
)

// The digest by which a registry knows an image shows only when the image is pulled or pushed, and is noted then. It
// cannot be computed from an image that was made here: no registry has the manifest that the store makes of it, because
// layers are compressed when they are pushed.

// repoDigestsKey names the data that the library keeps with an image for this package: "NAME@DIGEST" of each registry,
// the last one first.
const repoDigestsKey = "rcrun-repo-digests"

// maxRepoDigests bounds how many digests are noted of an image.
const maxRepoDigests = 64

// NoteRepoDigest notes that a registry has an image, in the repository of name, under the digest of the given manifest,
// which may be a list. From then on Find finds the image by this digest.
func (s *Store) NoteRepoDigest(id string, name reference.Named, data []byte) error {
	sum := digest.FromBytes(data)
	named, err := reference.WithDigest(reference.TrimNamed(name), sum)
	if err != nil {
		return err
	}
	record, err := s.core.Lib.Image(id)
	if err != nil {
		return err
	}
	if !slices.Contains(record.Digests, sum) {
		key := storage.ImageDigestManifestBigDataNamePrefix + "-" + sum.String()
		if err := s.core.Lib.SetImageBigData(id, key, data, manifest.Digest); err != nil {
			return fmt.Errorf("keep the manifest: %w", err)
		}
	}
	noted, err := s.repoDigests(*record)
	if err != nil || slices.Contains(noted, named.String()) {
		return err
	}
	noted = append([]string{named.String()}, noted...)
	text, err := json.Marshal(noted[:min(len(noted), maxRepoDigests)])
	if err != nil {
		return err
	}
	if err := s.core.Lib.SetImageBigData(id, repoDigestsKey, text, nil); err != nil {
		return fmt.Errorf("note the digest in %s: %w", reference.TrimNamed(name), err)
	}
	return nil
}

// repoDigests returns the noted names with digests, in full.
func (s *Store) repoDigests(record storage.Image) (noted []string, err error) {
	if !slices.Contains(record.BigDataNames, repoDigestsKey) {
		return nil, nil
	}
	data, err := s.core.Lib.ImageBigData(record.ID, repoDigestsKey)
	if err == nil {
		err = json.Unmarshal(data, &noted)
	}
	if err != nil {
		return nil, fmt.Errorf("read the digests of image %s: %w", record.ID, err)
	}
	return noted, nil
}

// familiarDigests returns the digests by which registries know an image, as people write them: in the repositories in
// which the image has a name, or in all if it has no name any more. The image may also have been pulled by a digest;
// then a digest is among its names.
func familiarDigests(record storage.Image, noted []string) (digests []string) {
	inRepository := map[string]bool{}
	for _, name := range record.Names {
		inRepository[imagename.Repository(name)] = true
	}
	for _, name := range slices.Concat(noted, record.Names) {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue // this program gives no such name
		}
		_, isDigest := ref.(reference.Digested)
		if text := reference.FamiliarString(ref); isDigest && (len(inRepository) == 0 || inRepository[ref.Name()]) &&
			!slices.Contains(digests, text) {
			digests = append(digests, text)
		}
	}
	return digests
}
