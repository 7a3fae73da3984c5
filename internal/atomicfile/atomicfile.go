// Package atomicfile replaces files atomically: a reader sees the old content or the new one, never a part of it, and
// so does a process after a crash.
package atomicfile

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Write replaces the file at path with content: it writes a temporary file beside it, flushes that to the disk and
// renames it. After an error the old file is unchanged and no temporary file is left.
func Write(path string, content []byte, perm os.FileMode) error {
	return WriteFrom(path, perm, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteFrom is Write for content that the function write produces. It returns an error of write like one of its own.
func WriteFrom(path string, perm os.FileMode, write func(w io.Writer) error) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := temp.Chmod(perm); err != nil {
		return err
	}
	if err := write(temp); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// WriteJSON replaces the file at path, which only its owner may read, with the JSON of value.
func WriteJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return Write(path, append(text, '\n'), 0o600)
}
