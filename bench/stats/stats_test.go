package stats

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	values := []float64{8, 2, 4, 6}
	if got := Median(values); got != 5 {
		t.Errorf("of an even number: %v", got)
	}
	if values[0] != 8 {
		t.Error("the argument was sorted")
	}
	if got := Median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("of an odd number: %v", got)
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("of none: %v", got)
	}
}

// A round in which everything was ten times slower must not show in the ratio.
func TestRatioIsByRound(t *testing.T) {
	if got := Ratio([]float64{2, 20, 2}, []float64{1, 10, 1}); got != 2 {
		t.Errorf("got %v", got)
	}
	if got := Ratio([]float64{2, 3}, []float64{1, 0, 7}); got != 2 {
		t.Errorf("with rounds that cannot be compared: %v", got)
	}
	if got := Ratio([]float64{1}, nil); !math.IsNaN(got) {
		t.Errorf("without reference: %v", got)
	}
}

func TestGeoMean(t *testing.T) {
	if got := GeoMean([]float64{1, 4, 16, math.NaN(), 0}); math.Abs(got-4) > 1e-12 {
		t.Errorf("got %v", got)
	}
	if got := GeoMean([]float64{math.NaN()}); !math.IsNaN(got) {
		t.Errorf("of none: %v", got)
	}
}
