package events

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/events"
)

func TestFilter(t *testing.T) {
	container := events.Message{Type: "container", Action: "exec_create: sh -c x", Scope: "local", Actor: events.Actor{
		ID:         "0123456789",
		Attributes: map[string]string{"name": "web", "image": "registry.example:5000/app:1", "tier": "front"}}}
	image := events.Message{Type: "image", Action: "tag", Scope: "local", Actor: events.Actor{
		ID: "sha256:abc", Attributes: map[string]string{"name": "app:2"}}}
	for _, test := range []struct {
		filter           string
		container, image bool
	}{
		{"", true, true},
		{"type=container", true, false},
		{"type=container type=image", true, true},
		{"scope=local", true, true},
		{"scope=swarm", false, false},
		{"event=exec_create", true, false},
		{"event=exec_create event=ta", true, true}, // one prefix makes prefixes of all, as with Docker
		{"event=ta", false, false},
		{"event=tag", false, true},
		{"container=web", true, false},
		{"container=we", true, false},
		{"container=0123", true, false},
		{"container=123", false, false},
		{"volume=web", true, false}, // Docker does not look at the type, either
		{"image=app", false, true},
		{"image=app:2", false, true},
		{"image=registry.example:5000/app", true, false},
		{"image=registry.example", false, false},
		{"image=sha256:abc", false, true},
		{"image=sha256", false, false},
		{"image=app image=registry.example:5000/app:1", true, true},
		{"label=tier", true, false},
		{"label=tier=front", true, false},
		{"label=tier=back", false, false},
		{"label=tier label=none", false, false},
		{"type=container event=tag", false, false},
	} {
		f := Filter{}
		for _, pair := range strings.Fields(test.filter) {
			key, value, _ := strings.Cut(pair, "=")
			if err := f.Add(key, value); err != nil {
				t.Error(err)
			}
		}
		if f.Matches(container) != test.container || f.Matches(image) != test.image {
			t.Errorf("%q takes the container's event: %v, the image's: %v", test.filter, f.Matches(container),
				f.Matches(image))
		}
	}
	err := Filter{}.Add("colour", "red")
	if err == nil || !strings.Contains(err.Error(), "config, container, daemon, event, image, label") {
		t.Error(err)
	}
	if (Filter{"colour": {"red"}}).Matches(image) {
		t.Error("a key that is not known takes an event")
	}
}

func TestWithoutTag(t *testing.T) {
	for name, want := range map[string]string{
		"":                           "",
		"app":                        "app",
		"app:1":                      "app",
		"registry.example:5000/app":  "registry.example:5000/app",
		"registry.example:5000/a:1":  "registry.example:5000/a",
		"app@sha256:0123":            "app",
		"app:1@sha256:0123":          "app",
		"sha256:0123":                "sha256:0123",
		"library/app:1":              "library/app",
		"registry.example/app:1.0-b": "registry.example/app",
	} {
		if got := withoutTag(name); got != want {
			t.Errorf("%q has become %q, want %q", name, got, want)
		}
	}
}
