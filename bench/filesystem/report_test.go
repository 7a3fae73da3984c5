package filesystem

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPublish(t *testing.T) {
	report := &Report{Rounds: 2, Scale: 1, Rows: []Row{
		{Group: "a", Name: "first", Unit: "s", Values: map[string][]float64{"overlay": {0.001, 0.002},
			ours: {0.002, 0.004}}},
		{Group: "a", Name: "second", Unit: "s", Values: map[string][]float64{ours: {0.008, 0.008},
			fuseOverlayfs: {0.016, 0.016}},
			Failed: map[string]string{"overlay": "no reason"}},
		{Group: "b c", Name: "third", Unit: "MiB", Values: map[string][]float64{ours: {2}, fuseOverlayfs: {1}}},
	}}
	dir := t.TempDir()
	var out bytes.Buffer
	if err := report.publish(Options{JSON: filepath.Join(dir, "all.json"), SVG: filepath.Join(dir, "charts")},
		&out); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"| | overlay | fuse-overlayfs | rcrun | rcrun / overlay | rcrun / fuse-overlayfs |",
		"| first | 1.5 | | 3.0 | 2.00 | |",
		"| second | failed | 16.0 | 8.0 | | 0.50 |",
		"| third | | 1.0 MiB | 2.0 MiB | | 2.00 |",
		"| geometric mean of all times | | | | 2.00 | 0.50 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the table: %s", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
	encoded, err := os.ReadFile(filepath.Join(dir, "all.json"))
	var read Report
	if err == nil {
		err = json.Unmarshal(encoded, &read)
	}
	if err != nil || len(read.Rows) != 3 || read.Rows[1].Failed["overlay"] != "no reason" {
		t.Errorf("%+v, %v", read, err)
	}
	for chart, want := range map[string]string{"a.svg": "3.0 ms", "b-c.svg": "2.0 MiB"} {
		if drawn, err := os.ReadFile(filepath.Join(dir, "charts", chart)); err != nil ||
			!strings.Contains(string(drawn), want) {
			t.Errorf("%s: %v\n%s", chart, err, drawn)
		}
	}
}

func TestField(t *testing.T) {
	text := "fuse3 version: 3.14.0\nfuse-overlayfs: version 1.10\nmodel name\t: A CPU\n"
	for name, want := range map[string]string{"fuse-overlayfs: version": "1.10", "model name": "A CPU",
		"other": "unknown"} {
		if got := field(text, name, "unknown"); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
