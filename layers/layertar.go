package layers

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"go.podman.io/storage"
	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"

	"github.com/rcrun/rcrun/internal/fault"
)

// writeLayer writes the uncompressed tar of a layer as it was when the layer came in, byte for byte, and checks that.
//
// The library can do so, too, but holds the lock on all layers meanwhile, which every other command would wait for
// when the reader at the other end is slow. A layer that is removed meanwhile is an error here instead.
func (s *Store) writeLayer(w io.Writer, layer Layer) error {
	verifier := layer.DiffID.Verifier()
	if err := s.writeTar(io.MultiWriter(w, verifier), layer); err != nil {
		return fmt.Errorf("read layer %s: %w", layer.DiffID, err)
	}
	if !verifier.Verified() {
		return fault.Errorf(errdefs.ErrDataLoss, "read layer %s: it is damaged: its content has another digest", layer.DiffID)
	}
	return nil
}

func (s *Store) writeTar(w io.Writer, layer Layer) error {
	driver, err := s.lib.GraphDriver()
	if err != nil {
		return err
	}
	getter, ok := driver.(graphdriver.DiffGetterDriver)
	if !ok {
		return s.copyTar(w, layer)
	}
	record, err := os.Open(s.tarSplit(layer.ID))
	if errors.Is(err, os.ErrNotExist) {
		return s.copyTar(w, layer)
	}
	if err != nil {
		return err
	}
	defer record.Close()
	plain, err := gzip.NewReader(record)
	if err != nil {
		return err
	}
	files, err := getter.DiffGetter(layer.ID)
	if err != nil {
		return err
	}
	return errors.Join(asm.WriteOutputTarStream(files, tarsplit.NewJSONUnpacker(plain), w), files.Close())
}

// copyTar has the library write the tar.
func (s *Store) copyTar(w io.Writer, layer Layer) error {
	plain := archive.Uncompressed
	content, err := s.lib.Diff("", layer.ID, &storage.DiffOptions{Compression: &plain})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	return errors.Join(err, content.Close())
}
