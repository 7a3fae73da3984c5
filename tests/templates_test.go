package tests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestTemplateTimes reads the times that templates print, which are what the JSON has.
func TestTemplateTimes(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "bb", "true")
	for _, args := range [][]string{
		{"inspect", "-f", "{{.Created}}", "c1"},
		{"inspect", "-f", "{{.State.StartedAt}}", "c1"},
		{"inspect", "-f", "{{.State.FinishedAt}}", "c1"},
		{"image", "inspect", "-f", "{{.Created}}", "bb"},
		{"inspect", "-f", "{{with .Id}}{{end}}{{.Created}}", "c1"}, // by the names of the JSON
		{"layer", "inspect", "-f", "{{.Created}}", strings.Fields(u.run("layer", "ls", "-q"))[0]},
	} {
		text := u.run(args...)
		if at, err := time.Parse(time.RFC3339Nano, text); err != nil || time.Since(at) > time.Hour {
			t.Errorf("%v: %s: %v", args, text, err)
		}
	}
	u.run("create", "--name", "c2", "bb")
	u.prints("0001-01-01T00:00:00Z 0001", "inspect", "-f", "{{.State.StartedAt}} {{truncate .State.StartedAt 4}}", "c2")
}

// TestTemplateKeys asks for what objects do not have: an error, but for keys of maps.
func TestTemplateKeys(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "c1", "-l", "a=1", "-l", "org.example.role=db", "--network", "none", "-v",
		u.path("home")+":/mnt", "bb", "true")
	for _, format := range []string{"{{.Nonsense}}", "{{.Nosuch.Foo}}", "{{.State.Health.Status}}",
		"{{.Id}} {{.HostConfig.Nosuch}}",
		"{{(index .Mounts 0).Nosuch}}"} {
		r := u.try("inspect", "-f", format, "c1")
		u.failed(r, 125, "template parsing error")
		if r.stdout != "" {
			t.Errorf("%s prints %q", format, r.stdout)
		}
	}
	u.fails(125, []string{`map has no entry for key "Nosuch"`}, "image", "inspect", "-f", "{{.Nosuch}}", "bb")
	u.fails(125, []string{"template parsing error"}, "ps", "-a", "--format", "{{.Nosuch}}")
	u.fails(125, []string{"template parsing error"}, "ps", "-a", "--format", "{{.Names")
	u.prints("|1|<no value>", "inspect", "-f",
		`{{index .Config.Labels "x"}}|{{index .Config.Labels "a"}}|{{.Config.Labels.x}}`, "c1")
	u.prints("/c1 a-b", "inspect", "-f", `{{.Name}} {{join (split "a b" " ") "-"}}`, "c1")
	u.prints("67108864", "inspect", "-f", "{{if .Id}}{{.HostConfig.ShmSize}}{{end}}", "c1")
	u.prints("", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "c1")
	u.prints("0 true private [] false none", "inspect", "-f",
		"{{.RestartCount}} {{eq .Driver .GraphDriver.Name}} {{.HostConfig.IpcMode}} {{.HostConfig.Devices}} "+
			"{{.HostConfig.PublishAllPorts}} {{.HostConfig.NetworkMode}}", "c1")
}

// TestPSFields prints what templates and JSON of ps have beside the table.
func TestPSFields(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "c1", "-l", "b=2", "-l", "org.example.role=db", "--network", "none", "-v",
		u.path("home")+":/mnt", "bb",
		"dd", "if=/dev/zero", "of=/big", "bs=1M", "count=2")
	u.prints("b=2,org.example.role=db", "ps", "-a", "--format", "{{.Labels}}")
	u.prints("db||none|0", "ps", "-a", "--format",
		`{{.Label "org.example.role"}}|{{.Label "x"}}|{{.Networks}}|{{.LocalVolumes}}`)
	u.prints(u.path("home"), "ps", "-a", "--no-trunc", "--format", "{{.Mounts}}")
	contains(t, u.run("ps", "-a", "--format", "json"), `"Size":"0B"`) // it is not measured
	size := u.run("ps", "-a", "--format", "{{.Size}}")
	if !strings.HasPrefix(size, "2.1MB (virtual ") {
		t.Errorf("size: %s", size)
	}
	contains(t, u.run("ps", "-as"), "SIZE\n", size)
	table := strings.Split(u.run("ps", "-a", "--format",
		`table {{.ID}}\t{{.Names}}\t{{.RunningFor}}\t{{.CreatedAt}}\t{{.Label "org.example.role"}}`), "\n")
	if got := strings.Join(strings.Fields(table[0]), " "); got != "CONTAINER ID NAMES CREATED CREATED AT ROLE" ||
		len(table) != 2 {
		t.Errorf("headings: %q", table)
	}
	if u.run("ps", "-a", "--format", "table") != u.run("ps", "-a") {
		t.Error("--format table is not the table")
	}
	var row map[string]any
	if err := json.Unmarshal([]byte(u.run("ps", "-a", "--format", "json")), &row); err != nil ||
		row["Labels"] != "b=2,org.example.role=db" {
		t.Errorf("JSON: %v, %v", row, err)
	}
}

// TestImagesFields asks images for what takes long to find out.
func TestImagesFields(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "bb")
	parts := strings.Fields(u.run("images", "--format", "{{.Containers}} {{.SharedSize}} {{.UniqueSize}} {{.Size}}"))
	if len(parts) != 4 || parts[0] != "1" || parts[1] != "0B" || parts[2] != parts[3] {
		t.Errorf("%q", parts)
	}
	heading, _, _ := strings.Cut(u.run("images", "--format", `table {{.ID}}\t{{.CreatedSince}}\t{{.SharedSize}}`), "\n")
	if got := strings.Join(strings.Fields(heading), " "); got != "IMAGE ID CREATED SHARED SIZE" {
		t.Errorf("headings: %s", got)
	}
}

// TestPSFilters selects containers as scripts do.
func TestPSFilters(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "web", "--network", "host", "bb", "sleep", "1000")
	u.run("run", "--name", "web2", "--network", "none", "-v", u.path("home")+":/x", "bb", "sh", "-c", "exit 0")
	u.try("run", "--name", "job", "--network", "none", "bb", "sh", "-c", "exit 3")
	list := func(want string, filters ...string) {
		t.Helper()
		args := []string{"ps", "-a", "--format", "{{.Names}}"}
		for _, f := range filters {
			args = append(args, "-f", f)
		}
		if got := strings.Join(strings.Fields(u.run(args...)), " "); got != want {
			t.Errorf("%q: %q, want %q", filters, got, want)
		}
	}
	list("web", "name=^web$")
	list("web", "name=^/web$")
	list("web2 web", "name=we.")
	list("web", "name=^we.$")
	list("web2 web", "name=web")
	for _, state := range []string{"paused", "restarting", "removing", "dead", "created"} {
		list("", "status="+state)
	}
	list("web2", "exited=0")
	list("job", "exited=3")
	list("web", "network=host")
	list("web2", "volume=/x")
	list("web2", "volume="+u.path("home"))
	list("web", "before=web2")
	list("job web2", "since=web")
	list("job web2 web", "health=none")
	list("", "health=healthy")
	list("", "publish=80")
	list("", "expose=80/tcp")
	u.fails(125, []string{"nosuch"}, "ps", "-f", "before=nosuch")
	u.fails(125, []string{"status=odd", "paused"}, "ps", "-f", "status=odd")
	u.fails(125, []string{"odd=1", "health"}, "ps", "-f", "odd=1")
	u.fails(125, []string{"name=("}, "ps", "-f", "name=(")
}
