package main

import (
	"context"

	"github.com/rcrun/rcrun/layers"
)

// withStore runs a command's work on the image store.
func (a *app) withStore(ctx context.Context, work func(s *layers.Store) error) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	defer e.Close()
	store, err := e.Store(ctx)
	if err != nil {
		return err
	}
	return work(store)
}
