package main

import (
	"fmt"
	"io"
	"strings"
)

// defaultDetachKeys leave a terminal without ending what runs in it.
const defaultDetachKeys = "ctrl-p,ctrl-q"

// detachReader reads from source until the detach keys come in a row; keys that turn out not to be the whole sequence
// are passed on.
type detachReader struct {
	source io.Reader
	keys   []byte
	detach func()
	held   int    // keys of the sequence that were read and held back
	ready  []byte // input that Read returns next
}

func (r *detachReader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		buffer := make([]byte, len(p))
		n, err := r.source.Read(buffer)
		if err != nil {
			return 0, err
		}
		for _, b := range buffer[:n] {
			if r.feed(b) {
				r.detach()
				return 0, io.EOF
			}
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// feed takes one byte and tells whether it completes the sequence.
func (r *detachReader) feed(b byte) bool {
	if len(r.keys) > 0 && b == r.keys[r.held] {
		r.held++
		return r.held == len(r.keys)
	}
	r.ready = append(r.ready, r.keys[:r.held]...)
	r.held = 0
	if len(r.keys) > 0 && b == r.keys[0] {
		r.held = 1
		return len(r.keys) == 1
	}
	r.ready = append(r.ready, b)
	return false
}

// parseDetachKeys reads a list such as "ctrl-p,ctrl-q" or "a"; an empty one means that there are none.
func parseDetachKeys(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	var keys []byte
	for _, key := range strings.Split(text, ",") {
		name, isCtrl := strings.CutPrefix(key, "ctrl-")
		switch {
		case len(name) != 1:
			return nil, fmt.Errorf("invalid --detach-keys %q: want letters or ctrl-LETTER, separated by commas", text)
		case !isCtrl:
			keys = append(keys, name[0])
		default:
			keys = append(keys, name[0]&^0x60) // of letters, and of @ [ \ ] ^ _, the control character
		}
	}
	return keys, nil
}
