package layers

import (
	"io"
	"os"
	"sync"
)

// progressWriter returns what the library may print to: it prints from several goroutines at once. A file can take
// that, and must be seen to be one, because the library draws bars only on a terminal.
func progressWriter(out io.Writer) io.Writer {
	if _, isFile := out.(*os.File); isFile || out == nil {
		return out
	}
	return &serialWriter{out: out}
}

// serialWriter passes on one write at a time.
type serialWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *serialWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}
