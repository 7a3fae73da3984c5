package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDetachReader(t *testing.T) {
	for input, want := range map[string]struct {
		passed   string
		detached bool
	}{
		"plain":              {"plain", false},
		"a\x10\x11b":         {"a", true},
		"a\x10b\x10\x10\x11": {"a\x10b\x10", true},
		"\x11\x10":           {"\x11", false},
	} {
		keys, err := parseDetachKeys(defaultDetachKeys)
		if err != nil {
			t.Fatal(err)
		}
		detached := false
		r := &detachReader{source: iotest.OneByteReader(strings.NewReader(input)), keys: keys,
			detach: func() { detached = true }}
		passed, err := io.ReadAll(r)
		if err != nil || string(passed) != want.passed || detached != want.detached {
			t.Errorf("%q: passed %q, detached %v, %v; want %+v", input, passed, detached, err, want)
		}
	}
}

func TestParseDetachKeys(t *testing.T) {
	keys, err := parseDetachKeys("a,ctrl-a,ctrl-]")
	if err != nil || string(keys) != "a\x01\x1d" {
		t.Errorf("got %q, %v", keys, err)
	}
	for _, bad := range []string{"ab", "ctrl-", "ctrl-ab", ",", "a,"} {
		if keys, err := parseDetachKeys(bad); err == nil {
			t.Errorf("%q is accepted as %q", bad, keys)
		}
	}
}

func TestResolveEnv(t *testing.T) {
	t.Setenv("FROM_HERE", "value")
	env, err := resolveEnv([]string{"A=1", "FROM_HERE", "NOT_SET_ANYWHERE", "A=2", "E="})
	if err != nil || strings.Join(env, " ") != "A=2 FROM_HERE=value E=" {
		t.Errorf("got %q, %v", env, err)
	}
	if _, err := resolveEnv([]string{"=x"}); err == nil {
		t.Error("a variable without a name is accepted")
	}
}
