package main

import "github.com/rcrun/rcrun/layers"

// withStore runs a command's work on the image store.
func (a *app) withStore(work func(s *layers.Store) error) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	defer e.Close()
	store, err := e.Store()
	if err != nil {
		return err
	}
	return work(store)
}
