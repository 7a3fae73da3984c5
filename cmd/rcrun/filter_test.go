package main

import (
	"testing"

	"github.com/rcrun/rcrun/engine"
)

func TestFilter(t *testing.T) {
	c := &engine.Container{ID: "abcd", Name: "web", ImageName: "nginx", ImageID: "1234", Config: engine.Config{Labels: map[string]string{"k": "v"}},
		State: engine.State{Status: engine.Exited}}
	for _, test := range []struct {
		flags []string
		want  bool
	}{
		{nil, true},
		{[]string{"id=ab"}, true},
		{[]string{"id=b"}, false},
		{[]string{"name=e"}, true},
		{[]string{"name=x", "name=/web"}, true},
		{[]string{"name=x"}, false},
		{[]string{"status=exited"}, true},
		{[]string{"status=running", "status=created"}, false},
		{[]string{"ancestor=nginx"}, true},
		{[]string{"ancestor=12"}, true},
		{[]string{"ancestor=ngin"}, false},
		{[]string{"label=k"}, true},
		{[]string{"label=k=v", "name=web"}, true},
		{[]string{"label=k=w"}, false},
		{[]string{"label=k", "label=l"}, false},
	} {
		f, err := parseFilters(test.flags)
		if err != nil || f.matches(c) != test.want {
			t.Errorf("%q: %v, %v", test.flags, f.matches(c), err)
		}
	}
	for _, bad := range []string{"name", "odd=1", "status=odd"} {
		if _, err := parseFilters([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
