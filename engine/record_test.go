package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/layerfmt"
)

// plant makes a container's directory of the files of a fixture.
func plant(t *testing.T, d Dirs, fixture, id string) {
	t.Helper()
	if err := os.CopyFS(d.Container(id), os.DirFS(filepath.Join("testdata", fixture))); err != nil {
		t.Fatal(err)
	}
}

// TestOldRecord reads a container that a version made which knew config.json only, and has it in the form of today.
func TestOldRecord(t *testing.T) {
	const id = "ceba02fd7d1f6ac1c667da0859d3d2bd676b1ccd5e7861f36d999cfa5854d9db"
	d := testDirs(t)
	plant(t, d, "record1", id)
	c, err := d.load(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.checkRecord(); err != nil {
		t.Error(err)
	}
	if c.Name != "web" || c.ImageName != "bb" || c.CommandLine() != "sleep 1000" ||
		c.Config.Hostname != "ceba02fd7d1f" ||
		c.Config.Labels["k"] != "v" || *c.Config.StopTimeout != 3 || c.Config.Healthcheck.Test[0] != "CMD" {
		t.Errorf("got %+v", c.Config)
	}
	var exposed []string
	for _, port := range slices.SortedFunc(maps.Keys(c.Config.ExposedPorts), comparePorts) {
		exposed = append(exposed, port.String())
	}
	if want := []string{"80/tcp", "8000/tcp", "8001/tcp", "9000/tcp"}; !slices.Equal(exposed, want) {
		t.Errorf("exposed are %q, want %q", exposed, want)
	}
	h := c.HostConfig
	if h.Memory != 512<<20 || h.KernelMemory != 64<<20 || h.Ulimits[0].Soft != 64 ||
		h.BlkioDeviceReadBps[0].Rate != 1<<20 || h.Binds[0] != "/srv:/srv:ro" ||
		h.DNS[0].String() != "1.1.1.1" || !h.wantsInit() || h.UsernsMode != "keep-id" ||
		h.StorageOpt["size"] != "64m" ||
		h.Annotations["a"] != "b" || h.RestartPolicy.Name != "no" || h.ShmSize != 64<<20 {
		t.Errorf("got %+v", h)
	}
	mappings, err := c.portMappings()
	if err != nil || len(mappings) != 2 || mappings[0].String() != "0.0.0.0:5353->53/udp" ||
		mappings[1].String() != "127.0.0.1:8080->80/tcp" {
		t.Errorf("published are %v, %v", mappings, err)
	}
}

// TestRecordForOldVersions has a version that looks for config.json find the record of today.
func TestRecordForOldVersions(t *testing.T) {
	e := testEngine(t)
	c := makeRecord(t, e, strings.Repeat("a", 64), "one", Created)
	text, err := os.ReadFile(c.path(oldConfigFile))
	if err != nil || !strings.Contains(string(text), `"Name": "one"`) {
		t.Errorf("got %s, %v", text, err)
	}
}

// storeWithout is an image store that has nothing, and notes what is removed from it.
type storeWithout struct {
	Store
	removed []string
}

func (s *storeWithout) RemoveContainer(_ context.Context, id string) error {
	s.removed = append(s.removed, id)
	return nil
}

func (s *storeWithout) CreateContainer(_ context.Context, _, _, _ string, _ layerfmt.Quota) error {
	return errors.New("there are no images")
}

func testEngine(t *testing.T) *Engine {
	t.Helper()
	store := &storeWithout{}
	e, err := New(testDirs(t))
	if err != nil {
		t.Fatal(err)
	}
	e.OpenStore = func(context.Context) (Store, error) { return store, nil }
	return e
}

// TestLostRecord loses each file of a record. The container is told of, nothing of it is swept up, and it can be
// removed by force only.
func TestLostRecord(t *testing.T) {
	for _, file := range []string{configFile, hostConfigFile, stateFile} {
		e := testEngine(t)
		id := strings.Repeat("a", 64)
		c := makeRecord(t, e, id, "one", Created)
		data := c.path("init/diff/data")
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(c.path(file)); err != nil {
			t.Fatal(err)
		}
		_, err := e.Lookup(t.Context(), "one")
		if !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), c.path(file)) {
			t.Errorf("without %s: %v", file, err)
		}
		if list, broken, err := e.List(t.Context()); len(list) != 0 || len(broken) != 1 || err != nil {
			t.Errorf("without %s: listed %v, %v, %v", file, list, broken, err)
		}
		if err := e.sweep(t.Context()); err != nil {
			t.Error(err)
		}
		if err := e.Remove(t.Context(), "one", false); err == nil {
			t.Errorf("without %s it is removed without force", file)
		}
		if _, err := os.Stat(data); err != nil {
			t.Errorf("without %s its data is gone: %v", file, err)
		}
		if err := e.Remove(t.Context(), "one", true); err != nil {
			t.Errorf("without %s: %v", file, err)
		}
		if _, err := os.Lstat(c.dir()); !os.IsNotExist(err) {
			t.Errorf("without %s its directory stays: %v", file, err)
		}
	}
}

// TestSweep removes what a killed maker or remover left, in each state that it can leave.
func TestSweep(t *testing.T) {
	for name, leave := range map[string]func(c *Container) error{
		"a lock":           func(c *Container) error { return os.Remove(c.path(unfinishedFile)) },
		"a mark":           func(*Container) error { return nil },
		"a layer":          func(c *Container) error { return os.MkdirAll(c.path("init/diff"), 0o700) },
		"half of a record": func(c *Container) error { return c.writeState() },
		"no configuration": func(c *Container) error { return errors.Join(c.write(), unrecord(c.dir())) },
		"no new configuration": func(c *Container) error {
			return errors.Join(c.write(), os.Rename(c.path(configFile), c.path(removedFile)))
		},
	} {
		e := testEngine(t)
		c := &Container{ID: strings.Repeat("a", 64), Name: "one", dirs: e.Dirs, Config: Config{Cmd: []string{"true"}}}
		if err := errors.Join(os.Mkdir(c.dir(), 0o700), os.WriteFile(c.lockPath(), nil, 0o600), markUnfinished(c.dir()),
			leave(c)); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Dirs.load(c.ID); !errdefs.IsNotFound(err) {
			t.Errorf("%s: it is loaded: %v", name, err)
		}
		if err := e.sweep(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(c.dir()); !os.IsNotExist(err) {
			t.Errorf("%s: it is not swept up: %v", name, err)
		}
	}
}

// TestRecordVersion wants records to tell their version, and one of a later version not to be started.
func TestRecordVersion(t *testing.T) {
	e := &Engine{Dirs: testDirs(t)}
	id := strings.Repeat("a", 64)
	makeRecord(t, e, id, "web", Exited)
	c, err := e.Lookup(t.Context(), "web")
	if err != nil || c.Version != recordVersion || c.State.Version != recordVersion {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := c.checkVersion(); err != nil {
		t.Error(err)
	}
	for _, file := range []string{configFile, stateFile} {
		text, err := os.ReadFile(c.path(file))
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Replace(string(text), `"Version": 2`, `"Version": 3`, 1)
		if err := os.WriteFile(c.path(file), []byte(newer), 0o600); err != nil {
			t.Fatal(err)
		}
		list, broken, err := e.List(t.Context())
		if err != nil || len(broken) > 0 || len(list) != 1 {
			t.Fatalf("%s: the list is %v, %v, %v", file, list, broken, err)
		}
		err = list[0].checkVersion()
		if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "is of version 3") {
			t.Errorf("%s: %v", file, err)
		}
		if err := os.WriteFile(c.path(file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
