package main

import (
	"io"
	"os"

	"github.com/rcrun/rcrun/layers"
	"golang.org/x/term"
)

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

// progressTo returns where progress is shown: a terminal, and nowhere else.
func progressTo(file *os.File, quiet bool) io.Writer {
	if quiet || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return file
}
