// Package stats is the little statistics that measurements on a busy machine need: everything takes turns in rounds,
// a round's values are compared with each other, and medians are taken last. What slows a whole round down then
// cancels out of its ratios, and what disturbs a single trial is not in the median.
package stats

import (
	"math"
	"slices"
)

// Median returns the middle of values, the mean of the two middle ones of an even number, and NaN of none.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Ratio returns the median of values[i]/references[i] over the rounds i that both have, and NaN where there is none.
func Ratio(values, references []float64) float64 {
	var ratios []float64
	for i := range min(len(values), len(references)) {
		if references[i] > 0 {
			ratios = append(ratios, values[i]/references[i])
		}
	}
	return Median(ratios)
}

// GeoMean returns the geometric mean of those values that are positive numbers, and NaN where none is.
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
