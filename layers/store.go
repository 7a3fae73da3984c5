package layers

import (
	"context"

	"github.com/rcrun/rcrun/layers/internal/core"
)

// Options says where a store is, and how to make it.
type Options = core.Options

// Store is an open store. Its methods may be called from several goroutines, and several processes may use the same
// store at once.
type Store struct{ core *core.Store }

// Open opens the store, and makes it if it is not there.
//
// The storage library reads the host's storage.conf at the first call in a process, and fails if that file is broken.
// What the file says has no influence on the store. The library has no option against it, and this package leaves the
// environment alone: a program that must be independent of that file sets CONTAINERS_STORAGE_CONF for itself before it
// starts other work.
func Open(opts Options) (*Store, error) {
	s, err := core.Open(opts)
	if err != nil {
		return nil, err
	}
	return &Store{s}, nil
}

// Core returns the open store below: the library's store, its records and its files. Only packages of layers/ can use
// it.
func (s *Store) Core() *core.Store { return s.core }

// Close releases the store.
func (s *Store) Close() error { return s.core.Close() }

// Driver returns the name of the store's graph driver.
func (s *Store) Driver() string { return s.core.DriverName }

// Status tells how the graph driver works on this host, as pairs of a key and a value.
func (s *Store) Status(ctx context.Context) ([][2]string, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return s.core.Status()
}
