package tree

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestReadAhead reads everything, in pieces of all kinds, and the error at the end.
func TestReadAhead(t *testing.T) {
	data := make([]byte, 3*aheadChunk*aheadChunks+17)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	broken := errors.New("broken")
	for what, wrap := range map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "with end": iotest.DataErrReader,
	} {
		a := newReadAhead(wrap(bytes.NewReader(data)))
		got, err := io.ReadAll(a)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes of %d, %v", what, len(got), len(data), err)
		}
		a.stop()
	}
	for _, want := range []error{broken, io.ErrUnexpectedEOF} {
		a := newReadAhead(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(want)))
		if got, err := io.ReadAll(a); err != want || !bytes.Equal(got, data) {
			t.Errorf("%d bytes of %d, %v; want %v", len(got), len(data), err, want)
		}
		a.stop()
	}
}

// TestUnpackReadsToTheEnd has an error behind the end of the tar, where that of a digest comes.
func TestUnpackReadsToTheEnd(t *testing.T) {
	bad := errors.New("digest does not match")
	_, err := unpackFrom(t, nil, io.MultiReader(bytes.NewReader(makeTar(t, entry{name: "a"})), iotest.ErrReader(bad)))
	if !errors.Is(err, bad) {
		t.Errorf("got %v, want %v", err, bad)
	}
}
