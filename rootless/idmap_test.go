package rootless

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/rootless-containers/rootlesskit/v3/pkg/parent/idtools"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/rcrun/rcrun/internal/idmap"
)

func TestPlanMap(t *testing.T) {
	const sub = "100000+65536"
	for name, c := range map[string]struct {
		mode string
		own  uint32
		sub  string
		want string
	}{
		"default":                   {"", 1000, sub, "0 1000 1, 1 100000 65536"},
		"host":                      {"host", 1000, sub, "0 1000 1, 1 100000 65536"},
		"two ranges":                {"", 1000, "5000+10, 7000+20", "0 1000 1, 1 5000 10, 11 7000 20"},
		"keep-id":                   {"keep-id", 1000, sub, "0 100000 1000, 1000 1000 1, 1001 101000 64536"},
		"keep-id over two ranges":   {"keep-id", 15, "5000+10, 7000+20", "0 5000 10, 10 7000 5, 15 15 1, 16 7005 15"},
		"keep-id, few subordinates": {"keep-id", 1000, "5000+10", "0 5000 10, 1000 1000 1"},
		"keep-id of root":           {"keep-id", 0, sub, "0 0 1, 1 100000 65536"},
		"nomap":                     {"nomap", 1000, sub, "0 100000 65536"},
		"own id within a range":     {"", 1000, "999+3", "0 1000 1, 1 999 1, 2 1001 1"},
		"nomap, own id in a range":  {"nomap", 1000, "1000+3", "0 1001 2"},
		"a range listed twice":      {"", 1000, "5000+10, 5000+10", "0 1000 1, 1 5000 10"},
		"ranges that overlap":       {"", 1000, "5000+10, 5005+10", "0 1000 1, 1 5000 10, 11 5010 5"},
		"more than there are ids": {"", 1000, "5000+10, 10000+4294957295",
			"0 1000 1, 1 5000 10, 11 10000 4294957295"},
		"own id within own whole map": {"", 0, "0+4294967295", "0 0 1, 1 1 4294967294"},
	} {
		sub := rangesOf(t, c.sub)
		caller := Caller{UID: c.own, GID: c.own, SubUIDs: sub, SubGIDs: sub}
		m, warnings, err := PlanMap(c.mode, caller)
		if err != nil || len(warnings) > 0 || m.SingleID {
			t.Errorf("%s: %+v, warnings %q, %v", name, m, warnings, err)
		}
		want := strings.ReplaceAll(c.want, ", ", "\n") + "\n"
		if m.UIDs.String() != want || m.GIDs.String() != want {
			t.Errorf("%s: got %q and %q, want %q", name, m.UIDs, m.GIDs, want)
		}
	}
}

// rangesOf parses ranges such as 5000+10, 7000+20.
func rangesOf(t *testing.T, text string) (ranges idmap.Ranges) {
	t.Helper()
	for one := range strings.SplitSeq(text, ", ") {
		var r idmap.Range
		if _, err := fmt.Sscanf(one, "%d+%d", &r.First, &r.Size); err != nil {
			t.Fatalf("parse range %q: %v", one, err)
		}
		ranges = append(ranges, r)
	}
	return ranges
}

func TestPlanMapCaller(t *testing.T) {
	caller := Caller{UID: 1000, GID: 100,
		SubUIDs: rangesOf(t, "100000+65536"), SubGIDs: rangesOf(t, "200000+65536")}
	for mode, want := range map[string]struct {
		mapped   bool
		uid, gid uint32
	}{"": {true, 0, 0}, "keep-id": {true, 1000, 100}, "nomap": {false, 0, 0}} {
		m, _, err := PlanMap(mode, caller)
		if err != nil || m.Mapped != want.mapped || m.CallerUID != want.uid || m.CallerGID != want.gid {
			t.Errorf("mode %q: caller is %v %d:%d (%v), want %v", mode, m.Mapped, m.CallerUID, m.CallerGID, err, want)
		}
		if uid, ok := m.UIDs.ToHost(m.CallerUID); want.mapped && (!ok || uid != 1000) {
			t.Errorf("mode %q: the caller's id inside is %d outside", mode, uid)
		}
		if gid, ok := m.GIDs.ToHost(m.CallerGID); want.mapped && (!ok || gid != 100) {
			t.Errorf("mode %q: the caller's group inside is %d outside", mode, gid)
		}
	}
}

func TestPlanMapWithoutSubordinateIDs(t *testing.T) {
	caller := Caller{UID: 1000, GID: 100, Problem: Problem{What: "newuidmap is not installed", Fix: "install it"}}
	for mode, inside := range map[string][2]uint32{"": {0, 0}, "keep-id": {1000, 100}} {
		m, warnings, err := PlanMap(mode, caller)
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], caller.Problem.String()) {
			t.Errorf("mode %q: warnings %q, %v", mode, warnings, err)
		}
		wantUID := idmap.Map{{Container: inside[0], Host: 1000, Size: 1}}
		wantGID := idmap.Map{{Container: inside[1], Host: 100, Size: 1}}
		if !m.SingleID || !reflect.DeepEqual(m.UIDs, wantUID) || !reflect.DeepEqual(m.GIDs, wantGID) {
			t.Errorf("mode %q: got %+v", mode, m)
		}
	}
	if _, _, err := PlanMap("nomap", caller); err == nil || !strings.Contains(err.Error(), caller.Problem.String()) {
		t.Errorf("nomap: %v", err)
	}
	if _, _, err := PlanMap("auto-ish", caller); err == nil || !strings.Contains(err.Error(), "auto-ish") {
		t.Errorf("an unknown mode: %v", err)
	}
}

// TestPlanMapIsAcceptable checks what the kernel requires of any map: no id occurs twice, inside or outside.
func TestPlanMapIsAcceptable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.Uint32Range(0, 40)
		sub := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) idmap.Range {
			return idmap.Range{First: small.Draw(t, "start"), Size: rapid.Uint32Range(1, 15).Draw(t, "size")}
		}), 1, 5).Draw(t, "sub")
		own := small.Draw(t, "own")
		mode := rapid.SampledFrom([]string{"", "keep-id", "nomap"}).Draw(t, "mode")
		inside, outside := map[uint32]bool{}, map[uint32]bool{}
		for _, m := range planIDs(mode, own, sub) {
			for i := range m.Size {
				if inside[m.Container+i] || outside[m.Host+i] {
					t.Fatalf("an id stands twice in %v", planIDs(mode, own, sub))
				}
				inside[m.Container+i], outside[m.Host+i] = true, true
			}
		}
		if outside[own] == (mode == "nomap") {
			t.Fatalf("the caller's id is mapped: %v", outside[own])
		}
		for _, r := range sub {
			for i := range r.Size {
				if id := r.First + i; id != own && !outside[id] {
					t.Fatalf("subordinate id %d is not used", id)
				}
			}
		}
	})
}

func TestRanges(t *testing.T) {
	got := ranges([]idtools.SubIDRange{{Start: 1, Length: 2}, {Start: -1, Length: 2}, {Start: 1, Length: 0},
		{Start: math.MaxUint32, Length: 5}})
	if want := (idmap.Ranges{{First: 1, Size: 2}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPrivileged(t *testing.T) {
	caps := func(permitted uint32) []byte {
		return binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 2}, permitted)
	}
	for name, c := range map[string]struct {
		owner, mode uint32
		caps        []byte
		want        bool
	}{
		"suid root":            {0, unix.S_ISUID | 0o755, nil, true},
		"suid of another user": {1000, unix.S_ISUID | 0o755, nil, false},
		"plain":                {0, 0o755, nil, false},
		"capability":           {0, 0o755, caps(1 << unix.CAP_SETUID), true},
		"another capability":   {0, 0o755, caps(1 << unix.CAP_CHOWN), false},
		"cut short":            {0, 0o755, []byte{1, 0, 0, 2, 0xff}, false},
	} {
		if got := privileged(c.owner, c.mode, c.caps, unix.CAP_SETUID); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestEndOfRanges(t *testing.T) {
	if got := endOfRanges([]byte("a:100000:65536\n# note\n\nbad\nb:300000:10\nc:200000:65536\n")); got != 300010 {
		t.Errorf("got %d, want 300010", got)
	}
}

func TestFindHelpers(t *testing.T) {
	caller := CurrentCaller()
	problem := caller.findHelpers("alice", true)
	if !strings.Contains(problem.What, "no range for alice") || !strings.Contains(problem.Fix, "--add-subuids") {
		t.Errorf("without ranges: %v", problem)
	}
	program := filepath.Join(t.TempDir(), "newuidmap")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	problem = checkPower(program, unix.CAP_SETUID)
	if !strings.Contains(problem.What, "neither suid root") || problem.Fix != "sudo chmod u+s "+program {
		t.Errorf("without power: %v", problem)
	}
	if problem := checkPower(program+"-not-there", unix.CAP_SETUID); !strings.Contains(problem.What, "no such file") {
		t.Errorf("not there: %v", problem)
	}
}

// TestWriteMap writes the maps of real user namespaces, in the way that the user of the test may use.
func TestWriteMap(t *testing.T) {
	caller := CurrentCaller()
	if caller.Problem != (Problem{}) {
		t.Fatalf("this user cannot have a full map: %s", caller.Problem)
	}
	for _, mode := range []string{"", "keep-id", "nomap"} {
		m, _, err := PlanMap(mode, caller)
		if err != nil {
			t.Fatal(err)
		}
		checkWrite(t, m)
	}
	single, _, err := PlanMap("", Caller{UID: caller.UID, GID: caller.GID,
		Problem: Problem{What: "that is what is tested"}})
	if err != nil {
		t.Fatal(err)
	}
	checkWrite(t, single)
}

func checkWrite(t *testing.T, m Map) {
	t.Helper()
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	start(t, cmd)
	pid := cmd.Process.Pid
	if err := m.Write(t.Context(), pid); err != nil {
		t.Fatal(err)
	}
	for file, maps := range map[string]idmap.Map{"uid_map": m.UIDs, "gid_map": m.GIDs} {
		text, err := os.ReadFile(procPath(pid, file))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(string(text)); !reflect.DeepEqual(got, strings.Fields(maps.String())) {
			t.Errorf("%s is %v, want %v", file, got, maps)
		}
	}
	setgroups, err := os.ReadFile(procPath(pid, "setgroups"))
	if err != nil {
		t.Fatal(err)
	}
	if denied := strings.TrimSpace(string(setgroups)) == "deny"; denied != m.SingleID {
		t.Errorf("setgroups is %q in %+v", setgroups, m)
	}
}

func TestWriteMapSaysWhatIsWrong(t *testing.T) {
	helper, err := lookPath("newuidmap")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	start(t, cmd)
	m := Map{UIDs: idmap.Map{{Container: 0, Host: 4_000_000_000, Size: 1}}, newUIDMap: helper}
	err = m.Write(t.Context(), cmd.Process.Pid)
	if err == nil || !strings.Contains(err.Error(), "newuidmap: ") || !strings.Contains(err.Error(), "uid_map") {
		t.Errorf("a range of no user: %v", err)
	}
}
