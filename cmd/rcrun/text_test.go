package main

import "testing"

func TestPathText(t *testing.T) {
	for path, want := range map[string]string{
		"/plain name/é€𝄞":  "/plain name/é€𝄞",
		"/lat\xe9":         `/lat\xe9`,
		"/lat\\xe9":        `/lat\\xe9`,
		"/a\nb":            `/a\nb`,
		"/a\\nb":           `/a\\nb`,
		"/\x1b[2J\x7f":     `/\x1b[2J\x7f`,
		"/\u009b1m\u202e":  `/\xc2\x9b1m\xe2\x80\xae`,
		"/replaced \ufffd": "/replaced \ufffd",
		"/cut \xf0\x9d":    `/cut \xf0\x9d`,
		"/tab\there\r":     `/tab\there\x0d`,
	} {
		if got := pathText(path); got != want {
			t.Errorf("%q is written %s, and not %s", path, got, want)
		}
	}
}
