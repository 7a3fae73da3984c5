package unionmount

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const crashEnv = "RCRUN_CRASH_TEST"

// TestCrash kills a process that copies up, renames and deletes at some point in between, and wants every file to be
// there as it was before or after an operation.
func TestCrash(t *testing.T) {
	if dir := os.Getenv(crashEnv); dir != "" {
		churn(t, dir)
		return
	}
	content := strings.Repeat("lower", 20000)
	lower := tree{}
	for i := range 20 {
		lower[fmt.Sprintf("d/f%02d", i)] = file(content).owned("1:2:0640:file")
		lower[fmt.Sprintf("d/h%02d", i)] = hardlink(fmt.Sprintf("d/f%02d", i))
	}
	for range 10 {
		f := newUnion(t, lower)
		must(t, f.mkdir("moves", 0o755))
		must(t, f.create("moves/x", 0o644))
		f.close()
		killedChurn(t, f.opts)
		f.open()
		checkChurned(t, f, content)
	}
}

// killedChurn runs churn in a process of its own and kills it after a random number of operations: the process tells
// of each by a byte.
func killedChurn(t *testing.T, opts Options) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), crashEnv+"="+opts.Upper)
	progress, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	buf := make([]byte, 1)
	for range rand.IntN(150) {
		if _, err := progress.Read(buf); err != nil {
			break
		}
	}
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}

func churn(t *testing.T, upper string) {
	base := strings.TrimSuffix(upper, "/upper")
	f := &fixture{t: t, opts: Options{Upper: upper, Work: base + "/work",
		Lowers: []Layer{{Dir: base + "/lower0", Ownership: CallerOwned}}}}
	f.open()
	for round := 0; ; round++ {
		i := round % 20
		for _, err := range []error{
			f.write(fmt.Sprintf("d/f%02d", i), "+", 100000), f.rename("moves", "moved", 0),
			f.rename("moved", "moves", 0),
			f.rename(fmt.Sprintf("d/f%02d", i), fmt.Sprintf("d/f%02d", (i+1)%20), unix.RENAME_EXCHANGE),
			f.create("new", 0o4644), f.unlink("new"),
		} {
			if err != nil && !errors.Is(err, unix.ENOENT) {
				t.Fatal(err)
			}
			os.Stdout.Write([]byte{'.'})
		}
	}
}

func checkChurned(t *testing.T, f *fixture, content string) {
	t.Helper()
	for _, name := range f.ls("d") {
		got := f.read("d/" + name)
		if got != content && got != content+"+" {
			t.Errorf("%s has %d bytes", name, len(got))
		}
		if a := f.stat("d/" + name); a.UID != 1 || a.GID != 2 || a.Mode != unix.S_IFREG|0o640 || a.Nlink < 2 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if names := f.ls("d"); len(names) != 40 {
		t.Errorf("%q", names)
	}
	moves := len(f.ls("/"))
	for _, dir := range []string{"moves", "moved"} {
		if n, err := f.walk(dir); err == nil {
			f.u.Forget(n, 1)
			f.wantNames(dir, "x")
			moves--
		}
	}
	if moves > 2 { // d and perhaps new
		t.Errorf("%q", f.ls("/"))
	}
	if a, err := f.walk("new"); err == nil {
		if a.stat.Mode != unix.S_IFREG|0o4644 {
			t.Errorf("new: %o", a.stat.Mode)
		}
		f.u.Forget(a, 1)
	}
}
