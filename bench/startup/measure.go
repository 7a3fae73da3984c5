package startup

import (
	"fmt"
	"slices"
	"time"

	"github.com/rcrun/rcrun/bench/stats"
)

// subject is something whose duration is measured.
type subject struct {
	name      string
	reference string // name of the subject that it is compared with; may be ""
	once      func() error
}

// result is the durations of a subject, in seconds.
type result struct {
	Name      string  `json:"name"`
	Median    float64 `json:"median"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
	Reference string  `json:"reference,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"` // of this median to the reference's
}

// measure runs every subject once in each round, after a first round that does not count.
func measure(subjects []subject, rounds int) ([]result, error) {
	times := make([][]float64, len(subjects))
	for round := range rounds + 1 {
		for i, s := range subjects {
			start := time.Now()
			if err := s.once(); err != nil {
				return nil, fmt.Errorf("measure %s: %w", s.name, err)
			}
			if round > 0 {
				times[i] = append(times[i], time.Since(start).Seconds())
			}
		}
	}
	return summarize(subjects, times), nil
}

func summarize(subjects []subject, times [][]float64) []result {
	medians := map[string]float64{}
	for i, s := range subjects {
		medians[s.name] = stats.Median(times[i])
	}
	var results []result
	for i, s := range subjects {
		r := result{Name: s.name, Median: medians[s.name], Min: slices.Min(times[i]), Max: slices.Max(times[i])}
		if reference := medians[s.reference]; reference > 0 {
			r.Reference, r.Ratio = s.reference, r.Median/reference
		}
		results = append(results, r)
	}
	return results
}
