package stage

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// probeStage is a stage of the tests' own program, which ends with probeCode.
const (
	probeStage = "rcrun-probe"
	probeCode  = 7
)

func TestMain(m *testing.M) {
	if os.Args[0] == probeStage {
		os.Exit(probeCode)
	}
	os.Exit(m.Run())
}

// TestStartFallsBack starts a stage where there is no program for it, and where there is one that may not be executed.
func TestStartFallsBack(t *testing.T) {
	forbidden := func() *os.File {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, program := range map[string]func() *os.File{
		"not described": nil,
		"missing":       func() *os.File { return nil },
		"forbidden":     forbidden,
	} {
		cmd, conn, err := Start(program, probeStage, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != probeCode {
			t.Errorf("%s: the stage ended with %v", name, err)
		}
		conn.Close()
	}
}

// TestStartExecutesProgram starts a stage of another program than the own one.
func TestStartExecutesProgram(t *testing.T) {
	path, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	cmd, conn, err := Start(func() *os.File {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}, probeStage, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
