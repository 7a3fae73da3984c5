package unionmount

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const crashModelEnv = "RCRUN_CRASH_MODEL_TEST"

// TestCrashModel kills a process in the middle of the model's operations, and wants the union to be as before or
// after the one that was under way. RCRUN_MODEL_SEED repeats a run, RCRUN_MODEL_RUNS makes more of them.
func TestCrashModel(t *testing.T) {
	if what := os.Getenv(crashModelEnv); what != "" {
		fields := strings.SplitN(what, ":", 3)
		seed, err := strconv.ParseUint(fields[1], 10, 64)
		must(t, err)
		runUntilKilled(newModel(t, crashSource(seed), fields[2], modelLayers()[fields[0]]))
		return
	}
	runs, seed := modelRuns(8)
	for kind := range modelLayers() {
		for i := range runs {
			run := seed + uint64(i)
			t.Run(fmt.Sprintf("%s/seed=%d", kind, run), func(t *testing.T) { crashOnce(t, kind, run) })
		}
	}
}

func crashSource(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// runUntilKilled tells of each operation that it has done by a byte.
func runUntilKilled(m *model) {
	for step := 0; !m.t.Failed(); step++ {
		m.run(step)
		os.Stdout.Write([]byte{'.'})
	}
}

func crashOnce(t *testing.T, kind string, seed uint64) {
	dir := t.TempDir()
	done := killedModel(t, kind, seed, dir)
	as := modelLayers()[kind]
	m := newModel(t, crashSource(seed), t.TempDir(), as) // the same once more
	defer func() {
		m.releaseAll()
		m.close()
	}()
	for step := range done {
		m.run(step)
	}
	left := &model{fixture: unionIn(t, dir, len(m.opts.Lowers)), oracle: m.oracle, crashed: true}
	if as != nil {
		left.describe(*as)
	}
	left.open()
	defer left.close()
	m.crashed = true
	before := left.differences()
	if len(before) == 0 {
		return
	}
	m.run(done)
	left.inos = map[identity]uint64{}
	if after := left.differences(); len(after) > 0 && !t.Failed() {
		t.Errorf("killed after %d operations, at %s:\ndifferences from before: %s\nfrom after: %s", done,
			m.log[max(0, len(m.log)-1):],
			strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// killedModel runs the model in a process of its own, kills that, and returns how many operations it had done.
func killedModel(t *testing.T, kind string, seed uint64, dir string) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCrashModel$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d:%s", crashModelEnv, kind, seed, dir))
	progress, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	done, err := io.ReadFull(progress, make([]byte, 20+rand.IntN(200)))
	must(t, err)
	time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) // a moment, whichever
	must(t, cmd.Process.Kill())
	rest, err := io.ReadAll(progress)
	must(t, err)
	if err := cmd.Wait(); err == nil || strings.Contains(string(rest), "FAIL") {
		t.Fatalf("the process ended by itself: %s", rest)
	}
	return done + len(rest)
}
