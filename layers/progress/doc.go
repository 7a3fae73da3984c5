// Package progress tells callers how far long work has come: in bytes (Meter), or layer by layer (Report).
//
// Several goroutines work on one image. What they have to say reaches the caller one call at a time, and not more often
// than a person can read.
package progress
