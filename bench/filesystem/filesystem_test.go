package filesystem

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rcrun/rcrun/bench/workload"
	"github.com/rcrun/rcrun/rootless"
)

// TestMain is also each of the stages.
func TestMain(m *testing.M) {
	if stage, ok := Stages()[os.Args[0]]; ok {
		if err := stage(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// temporary returns a directory for everything that is made, which must be gone in the end.
func temporary(t *testing.T) string {
	t.Helper()
	if err := rootless.RequireUserNamespaces(); err != nil {
		t.Skipf("the subjects live in user namespaces of their own: %v", err)
	}
	dir := t.TempDir()
	t.Cleanup(func() {
		if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || strings.Contains(string(mounts), dir) {
			t.Errorf("mounts were left behind: %v", err)
		}
	})
	return dir
}

// TestAptInstall runs the one workload that needs a real Debian, on a plain directory and on ours.
func TestAptInstall(t *testing.T) {
	tree := os.Getenv("RCRUN_DEBIAN")
	if tree == "" {
		t.Skip("RCRUN_DEBIAN names no tar of a Debian, which make test sets")
	}
	dir := temporary(t)
	t.Setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
	subjects := []string{plain{}.name()}
	binary := os.Getenv("RCRUN")
	if binary != "" && rootless.RequireFuse() == nil {
		subjects = append(subjects, ours, oursStore)
	}
	report, err := Measure(context.Background(), Options{Rounds: 1, Scale: 0.01, Only: "apt-get install", Tree: tree,
		Subjects: subjects, Dir: dir, Rcrun: binary})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 1 || len(report.Rows[0].Failed) > 0 || len(report.Rows[0].Values) != len(subjects) {
		t.Errorf("measured %+v of %q", report.Rows, subjects)
	}
}

// Every workload works on the plain directory, and on ours where RCRUN names the binary; but for the build with go,
// whose preparation takes long and which the tests of the workloads have.
func TestMeasure(t *testing.T) {
	dir := temporary(t)
	t.Setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
	subjects := []string{plain{}.name()}
	binary := os.Getenv("RCRUN")
	if binary != "" && rootless.RequireFuse() == nil {
		subjects = append(subjects, ours, oursStore)
	}
	report, err := Measure(context.Background(), Options{Rounds: 1, Scale: 0.002, Subjects: subjects, Dir: dir,
		Rcrun: binary})
	if err != nil {
		t.Fatal(err)
	}
	if all := len(workload.All(workload.Config{Scale: 1})); len(report.Rows) < all/2 {
		t.Errorf("%d rows, though there are %d workloads", len(report.Rows), all)
	}
	for _, row := range report.Rows {
		for _, name := range subjects {
			server := row.Group == "mount" || row.Group == "memory"
			if server && name == (plain{}).name() {
				continue
			}
			if values := row.Values[name]; len(values) != 1 || values[0] <= 0 {
				t.Errorf("%s, %s: %v, %s", name, row.Name, values, row.Failed[name])
			}
		}
	}
}

// What a subject cannot do is told, and the others are measured nevertheless.
func TestMeasureGoesOn(t *testing.T) {
	dir := temporary(t)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho out of order >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	report, err := Measure(context.Background(), Options{
		Rounds: 2, Scale: 0.002, Only: "untar", Subjects: []string{fuseOverlayfs, plain{}.name()},
		FuseOverlayfs: broken, Dir: dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range report.Rows {
		if !strings.Contains(row.Failed[fuseOverlayfs], "out of order") || len(row.Values[plain{}.name()]) != 2 {
			t.Errorf("%+v", row)
		}
	}
}

func TestMeasureRefuses(t *testing.T) {
	dir := temporary(t)
	for _, o := range []Options{
		{Scale: 1},
		{Rounds: 1},
		{Rounds: 1, Scale: 0.001, Only: "no such workload"},
		{Rounds: 1, Scale: 0.001, Subjects: []string{"no such subject"}},
		{Rounds: 1, Scale: 0.001, Only: "untar", Tree: "/no/such/tar"},
	} {
		o.Dir = dir
		if _, err := Measure(context.Background(), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// A benchmark that is ended in the middle leaves nothing.
func TestMeasureIsEnded(t *testing.T) {
	dir := temporary(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			if started, err := filepath.Glob(dir + "/*/plain/*"); err != nil || len(started) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := Measure(ctx, Options{Rounds: 1000000, Scale: 0.002, Only: "untar", Subjects: []string{plain{}.name()},
		Dir: dir})
	if err == nil {
		t.Error("no error")
	}
}
