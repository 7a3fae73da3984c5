package view

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rcrun/rcrun/layers"
)

// TestDescribeImage looks for what Docker's users read of an image, in the JSON that they get.
func TestDescribeImage(t *testing.T) {
	made := time.Unix(1136073600, 0).UTC()
	img := layers.Image{ID: "aa", RepoTags: []string{"a:1"}, Created: made, Size: 7, Comment: "c", DockerVersion: "19"}
	img.Config.Author, img.Config.OS, img.Config.Architecture = "Jo", "linux", "amd64"
	img.Config.RootFS.DiffIDs = []digest.Digest{"sha256:1"}
	img.Config.Config = v1.ImageConfig{Cmd: []string{"sh"}, Labels: map[string]string{"k": "v"}}
	img.Config.History = []v1.History{{Created: &made, CreatedBy: "RUN", EmptyLayer: true}}
	img.Docker.OnBuild = []string{"RUN x"}
	text, err := json.Marshal(describeImage(&img))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Id, Parent, Comment, Created, DockerVersion, Author, Architecture, Os string
		RepoTags, RepoDigests                                                 []string
		Size                                                                  int64
		Config                                                                struct {
			Hostname *string
			Cmd      []string
			OnBuild  []string
			Labels   map[string]string
		}
		RootFS  struct{ Layers []string }
		History []map[string]any
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Id != "sha256:aa" || got.Created != "2006-01-01T00:00:00Z" || got.Comment != "c" || got.Author != "Jo" ||
		got.DockerVersion != "19" || got.Os != "linux" || got.Architecture != "amd64" || got.Size != 7 ||
		got.RepoTags[0] != "a:1" || got.RepoDigests == nil || got.RootFS.Layers[0] != "sha256:1" {
		t.Errorf("got %s", text)
	}
	if c := got.Config; c.Hostname == nil || c.Cmd[0] != "sh" || c.OnBuild[0] != "RUN x" || c.Labels["k"] != "v" {
		t.Errorf("got %s", text)
	}
	if got.History[0]["created_by"] != "RUN" || got.History[0]["empty_layer"] != true {
		t.Errorf("got %s", text)
	}
}
