package startup

import (
	"errors"
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	subjects := []subject{{name: "a", reference: "b"}, {name: "b"}}
	got := summarize(subjects, [][]float64{{3, 1, 2}, {8, 2, 4, 6}})
	if a := got[0]; a.Median != 2 || a.Min != 1 || a.Max != 3 || a.Reference != "b" || a.Ratio != 0.4 {
		t.Errorf("a: %+v", a)
	}
	if b := got[1]; b.Median != 5 || b.Reference != "" || b.Ratio != 0 {
		t.Errorf("b: %+v", b)
	}
}

func TestMeasureTakesTurns(t *testing.T) {
	var order strings.Builder
	note := func(name string) func() error {
		return func() error { order.WriteString(name); return nil }
	}
	results, err := measure([]subject{{name: "a", once: note("a")}, {name: "b", once: note("b")}}, 2)
	if err != nil || len(results) != 2 || order.String() != "ababab" {
		t.Errorf("%d results in the order %q, %v", len(results), order.String(), err)
	}
	cause := errors.New("broken")
	if _, err := measure([]subject{{name: "a", once: func() error { return cause }}}, 2); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
