// Package stats has the statistics that measurements on a busy machine need. All subjects take turns in rounds, the
// values within a round are compared, and medians are taken last. So the ratios are free of what slows a whole round
// down, and the median is free of what disturbs a single trial.
package stats

import (
	"math"
	"slices"
)

// Median returns the median of values, and NaN if there are none.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Ratio returns the median of values[i]/references[i] over the rounds i that both have, and NaN if there is none.
func Ratio(values, references []float64) float64 {
	var ratios []float64
	for i := range min(len(values), len(references)) {
		if references[i] > 0 {
			ratios = append(ratios, values[i]/references[i])
		}
	}
	return Median(ratios)
}

// GeoMean returns the geometric mean of the positive numbers among values, and NaN if there are none.
func GeoMean(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if v > 0 {
			sum += math.Log(v)
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return math.Exp(sum / float64(n))
}
