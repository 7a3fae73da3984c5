package layers_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/xattrlog"
	"github.com/rcrun/rcrun/layers/archive"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/tree"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// TestPlainStore checks that a store keeps its form, and that all of it is without xattrs.
func TestPlainStore(t *testing.T) {
	dir := t.TempDir()
	s := storetest.OpenPlainStore(t, dir, true)
	img := storetest.MustImport(t, s, "x", "plain")
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(1), "c", img); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = storetest.OpenPlainStore(t, dir, false)
	defer s.Close()
	stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1))
	if err != nil || !stack.Plain || !stack.Lowers[0].Plain || stack.Lowers[0].Side != "" {
		t.Fatalf("%+v, %v", stack, err)
	}
	if _, err := os.Stat(filepath.Join(stack.Work, xattrlog.Name)); err != nil {
		t.Error(err)
	}
	if st, ok := (tree.Lowers{driver.TreeOf(stack.Lowers[0])}).Lookup([]string{"etc", "shadow"}); !ok || st.GID != 42 ||
		st.Mode != unix.S_IFREG|0o640 {
		t.Errorf("%+v, %v", st, ok)
	}
	err = filepath.WalkDir(s.Core().Root, func(path string, _ os.DirEntry, err error) error {
		if n, listErr := unix.Llistxattr(path, nil); err == nil && listErr == nil && n > 0 {
			t.Errorf("%s has xattrs", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := archive.Save(context.Background(), s, &out, []string{"x"}, archive.SaveOptions{}); err != nil {
		t.Error(err)
	}
	if problems, err := upkeep.Check(context.Background(), s, upkeep.CheckOptions{Deep: true}); err != nil ||
		len(problems) > 0 {
		t.Errorf("%+v, %v", problems, err)
	}
	if err := os.Remove(s.Core().Layout.Index(img.TopLayer)); err != nil {
		t.Fatal(err)
	}
	problems, err := upkeep.Check(context.Background(), s, upkeep.CheckOptions{})
	if err != nil || len(problems) == 0 || problems[0].Kind != upkeep.BrokenLayer ||
		!strings.Contains(problems[0].Text, "pull or load its image again") {
		t.Errorf("%+v, %v", problems, err)
	}
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(2), "d", img); err == nil {
		t.Error("a container was made upon a layer whose owners are lost")
	}
}

// TestUsualStoreStaysUsual checks that a store with xattrs does not become one without.
func TestUsualStoreStaysUsual(t *testing.T) {
	dir := t.TempDir()
	for _, plain := range []bool{false, true} {
		s := storetest.OpenPlainStore(t, dir, plain)
		img := storetest.MustImport(t, s, "x", "usual")
		if s.Core().Layout.Plain || s.Core().Layout.Tree(img.TopLayer).Index != "" {
			t.Error("it is plain")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
