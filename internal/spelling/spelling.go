// Package spelling tells how similar names are, so that an error can suggest the name that was meant.
package spelling

// Distance returns how many letters must be inserted, removed or replaced to turn a into b.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// Close tells whether a name is likely to be another one with a mistake: two letters may be wrong, fewer in a short
// name.
func Close(name, other string) bool {
	const most = 2
	return Distance(name, other) <= min(most, len(name)/3)
}
