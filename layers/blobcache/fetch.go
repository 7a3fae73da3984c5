package blobcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// Source opens a blob at its origin, at an offset in bytes.
type Source func(ctx context.Context, offset int64) (io.ReadCloser, error)

// InterruptedError says that a download ended early or brought something else than was expected. Another attempt may
// succeed; it goes on from what is there.
type InterruptedError struct {
	Have int64 // bytes of the blob that are there now
	Err  error
}

func (e *InterruptedError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *InterruptedError) Unwrap() error { return e.Err }

// Fetch returns the blob, opened for reading. If no process has fetched it yet, Fetch does so from source, and all
// others that want the blob wait meanwhile. If this caller must wait, it calls waiting first, which may be nil. size is
// in bytes, -1 if it is not known.
func (c *Claim) Fetch(ctx context.Context, size int64, source Source, waiting func()) (_ *os.File, err error) {
	done, err := c.Lock(ctx, waiting)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	file, err := os.Open(c.path)
	if !errors.Is(err, os.ErrNotExist) {
		return file, err
	}
	if err := c.download(ctx, size, source); err != nil {
		return nil, fmt.Errorf("blob %s: %w", c.digest, err)
	}
	if err := os.Rename(c.path+partSuffix, c.path); err != nil {
		return nil, err
	}
	return os.Open(c.path)
}

// download completes the part and verifies it.
func (c *Claim) download(ctx context.Context, size int64, source Source) (err error) {
	part, err := os.OpenFile(c.path+partSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	digester := c.digest.Algorithm().Digester()
	have, err := io.Copy(digester.Hash(), part)
	if err != nil {
		return err
	}
	received := int64(0)
	if size < 0 || have < size {
		received, err = c.receive(ctx, source, have, size, io.MultiWriter(part, digester.Hash()))
	}
	if local := (*os.PathError)(nil); errors.As(err, &local) {
		// The part is removed, because on a full disk it would only take up room.
		return errors.Join(err, os.Remove(part.Name()))
	}
	if err != nil {
		return err
	}
	return c.verify(have+received, size, digester.Digest())
}

// receive reads a blob from an offset on, until it is size bytes long, and returns the number of bytes that it has
// read.
func (c *Claim) receive(parent context.Context, source Source, offset, size int64, to io.Writer) (received int64,
	err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	body, err := source(ctx, offset)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	watch := time.AfterFunc(c.stall, cancel)
	defer watch.Stop()
	var from io.Reader = readFunc(func(p []byte) (int, error) {
		n, err := body.Read(p)
		watch.Reset(c.stall)
		return n, err
	})
	if size >= 0 {
		from = io.LimitReader(from, size-offset+1) // one more byte tells that it is too long
	}
	received, err = io.Copy(to, from)
	if local := (*os.PathError)(nil); errors.As(err, &local) {
		return received, err
	}
	switch {
	case err != nil && ctx.Err() != nil && parent.Err() == nil:
		err = fmt.Errorf("nothing came for %v after %d bytes", c.stall, offset+received)
	case err == nil && offset+received < size:
		err = fmt.Errorf("ends after %d of %d bytes: %w", offset+received, size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return received, &InterruptedError{Have: offset + received, Err: err}
	}
	return received, nil
}

// readFunc is an io.Reader.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// verify checks what has arrived, and removes it if it is wrong.
func (c *Claim) verify(length, size int64, got digest.Digest) error {
	var err error
	switch {
	case size >= 0 && length > size:
		err = fmt.Errorf("is longer than the %d bytes of its description", size)
	case got != c.digest:
		err = fmt.Errorf("has the wrong content, of digest %s", got)
	default:
		return nil
	}
	if err := os.Remove(c.path + partSuffix); err != nil {
		return err
	}
	return &InterruptedError{Err: err}
}
