package view

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/layers"
)

// TestForest has each layer once below the one that it builds on, with the names of the images that end there.
func TestForest(t *testing.T) {
	f := forest{children: map[digest.Digest][]layers.LayerInfo{}, images: []layers.Image{
		{ID: "i1", RepoTags: []string{"a:1", "a:2"}}, {ID: "0123456789abcdef"}}}
	for _, l := range []layers.LayerInfo{
		{ChainID: "sha256:base"},
		{ChainID: "sha256:top1", Parent: "sha256:base", Images: []string{"i1"}},
		{ChainID: "sha256:top2", Parent: "sha256:base"},
		{ChainID: "sha256:top2", Parent: "sha256:base", Images: []string{"0123456789abcdef"}}, // two imports of one tar
	} {
		f.add(l)
	}
	f.grow("", nil)
	var got string
	for _, n := range f.nodes {
		got += fmt.Sprintln(n.Title, n.Follow, n.Names)
	}
	if want := "base [] []\ntop1 [true] [a:1 a:2]\ntop2 [false] [0123456789ab]\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
