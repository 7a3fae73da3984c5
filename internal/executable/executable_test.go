package executable

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// program is one that says hello. It cannot be a script: a child has closed the file when the interpreter reads it.
func program(t *testing.T) *os.File {
	t.Helper()
	path, err := exec.LookPath("echo")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	sealed, err := Seal("hello", source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sealed.Close() })
	return sealed
}

func TestSealedProgramRuns(t *testing.T) {
	file, err := Open(program(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// With as many files as a child can be given, all of which are put where they belong before it is executed.
	var files []*os.File
	for range 20 {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		files = append(files, null)
	}
	cmd := &exec.Cmd{Path: Path(file), Args: []string{"echo", "hello"}, ExtraFiles: files}
	if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != "hello" {
		t.Errorf("it said %q, %v", out, err)
	}
}

func TestSealedProgramStays(t *testing.T) {
	file := program(t)
	if !IsSealed(file) {
		t.Error("a sealed program does not count as one")
	}
	if _, err := file.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("written to: %v", err)
	}
	if err := file.Truncate(0); !errors.Is(err, unix.EPERM) {
		t.Errorf("cut off: %v", err)
	}
	has, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Chmod(0o600); has&unix.F_SEAL_EXEC != 0 && !errors.Is(err, unix.EPERM) {
		t.Errorf("made not executable: %v", err)
	}
	if again, err := os.OpenFile(Path(file), os.O_RDWR, 0); err == nil {
		if _, err := again.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("written to after it was opened again: %v", err)
		}
		again.Close()
	}
}

func TestOrdinaryFileIsNotSealed(t *testing.T) {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if IsSealed(file) {
		t.Error("a file on disk counts as sealed")
	}
}
