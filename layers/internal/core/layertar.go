package core

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"go.podman.io/storage"
	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"

	"github.com/rcrun/rcrun/internal/fault"
)

// WriteLayer writes the uncompressed tar of a layer, byte for byte as the layer came in, and checks its digest.
//
// The library could write it, too, but would hold the lock on all layers meanwhile: if the reader at the other end is
// slow, all other commands would wait. Here it is an error if the layer is removed meanwhile.
func (s *Store) WriteLayer(w io.Writer, id string, diffID digest.Digest) error {
	verifier := diffID.Verifier()
	if err := s.WriteTar(io.MultiWriter(w, verifier), id); err != nil {
		return fmt.Errorf("read layer %s: %w", diffID, err)
	}
	if !verifier.Verified() {
		return fault.Errorf(errdefs.ErrDataLoss, "read layer %s: it is damaged: its content has another digest", diffID)
	}
	return nil
}

// WriteTar is WriteLayer without the check.
func (s *Store) WriteTar(w io.Writer, id string) error {
	library, err := s.Lib.GraphDriver()
	if err != nil {
		return err
	}
	getter, ok := library.(graphdriver.DiffGetterDriver)
	if !ok {
		return s.copyTar(w, id)
	}
	record, err := os.Open(s.TarSplit(id))
	if errors.Is(err, os.ErrNotExist) {
		return s.copyTar(w, id)
	}
	if err != nil {
		return err
	}
	defer record.Close()
	plain, err := gzip.NewReader(record)
	if err != nil {
		return err
	}
	files, err := getter.DiffGetter(id)
	if err != nil {
		return err
	}
	return errors.Join(asm.WriteOutputTarStream(files, tarsplit.NewJSONUnpacker(plain), w), files.Close())
}

// copyTar has the library write the tar.
func (s *Store) copyTar(w io.Writer, id string) error {
	plain := archive.Uncompressed
	content, err := s.Lib.Diff("", id, &storage.DiffOptions{Compression: &plain})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	return errors.Join(err, content.Close())
}
