package main

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rcrun/rcrun/engine/layered"
)

func TestMain(m *testing.M) {
	if code, ok := layered.RunStage(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	rootfs, err := os.Open(busyboxTar(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer rootfs.Close()
	var out bytes.Buffer
	if err := follow(t.Context(), filepath.Join(dir, "state"), rootfs, &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "tick\ntick\ntick\n" {
		t.Errorf("output %q", out.String())
	}
}

// busyboxTar makes a tar of a root filesystem with a shell.
func busyboxTar(t *testing.T, dir string) string {
	t.Helper()
	program, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "rootfs.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := tar.NewWriter(file)
	entries := []tar.Header{
		{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(content))},
		{Typeflag: tar.TypeSymlink, Name: "bin/sh", Linkname: "busybox"},
		{Typeflag: tar.TypeSymlink, Name: "bin/sleep", Linkname: "busybox"},
	}
	for _, entry := range entries {
		if err := w.WriteHeader(&entry); err != nil {
			t.Fatal(err)
		}
		if entry.Size > 0 {
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}
