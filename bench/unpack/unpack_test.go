package unpack

import (
	"bytes"
	"strings"
	"testing"
)

// TestCompare sets ratios to podman's within each round.
func TestCompare(t *testing.T) {
	results := []result{
		{Archive: "a", Engine: oursName, Seconds: []float64{1, 4, 30}, Memory: []float64{10}},
		{Archive: "a", Engine: podmanName, Seconds: []float64{2, 8, 10}, Memory: []float64{20}},
		{Archive: "b", Engine: oursName, Seconds: []float64{3}, Memory: []float64{10}},
	}
	compare(results)
	if results[0].Ratio != 0.5 || results[1].Ratio != 0 || results[2].Ratio != 0 {
		t.Errorf("%+v", results)
	}
	var out bytes.Buffer
	if err := printTable(&out, results); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 4 ||
		!strings.HasSuffix(lines[1], "0.50") {
		t.Errorf("%s", out.String())
	}
}
