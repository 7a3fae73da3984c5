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

// By which digest a registry knows an image is seen when the image is pulled or pushed, and noted then. It is not to be
// told from the image: the manifest that the store makes of one which was made here is in no registry, since layers are
// compressed when they are pushed.

// repoDigestsKey names the "NAME@DIGEST" of an image, the last one first, among the data that the library keeps with
// it.
const repoDigestsKey = "rcrun-repo-digests"

// maxRepoDigests bounds how many of them an image has.
const maxRepoDigests = 64

// NoteRepoDigest notes that a registry has an image in the repository of name as the given manifest, which may be a
// list. By its digest, the image is found from then on.
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

// repoDigests returns what was noted, in full.
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
// which it has a name, and in all where it has none any more. The names by which it was pulled may be digests, too.
func familiarDigests(record storage.Image, noted []string) (digests []string) {
	inRepository := map[string]bool{}
	for _, name := range record.Names {
		inRepository[imagename.Repository(name)] = true
	}
	for _, name := range slices.Concat(noted, record.Names) {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue // not one that we would have given
		}
		_, isDigest := ref.(reference.Digested)
		if text := reference.FamiliarString(ref); isDigest && (len(inRepository) == 0 || inRepository[ref.Name()]) &&
			!slices.Contains(digests, text) {
			digests = append(digests, text)
		}
	}
	return digests
}
