package architecture

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// imports are the packages of the module that a package may import itself, for each package on a floor.
type imports map[string][]string

// floors are all packages of the module, from the lowest floor up. A package may import the packages listed with it,
// which are on its floor or below: nothing imports upward. The small tools on the lowest floor know nothing of
// containers and are open to all other floors. Tests may import more than their package.
var floors = []imports{
	{ // small tools: packages of the other floors may import them without being listed
		"internal/atomicfile": {},
		"internal/beneath":    {"internal/eintr"},
		"internal/ctxio":      {},
		"internal/eintr":      {},
		"internal/entry":      {},
		"internal/escape":     {},
		"internal/executable": {},
		"internal/fault":      {},
		"internal/fields":     {"internal/fault"},
		"internal/filecopy":   {"internal/eintr"},
		"internal/filewatch":  {},
		"internal/idmap":      {},
		"internal/own":        {},
		"internal/process":    {},
		"internal/rmtree":     {"internal/beneath", "internal/eintr"},
		"internal/spelling":   {},
		"internal/stage":      {"internal/executable", "internal/process", "internal/wire"},
		"internal/strictjson": {},
		"internal/wire":       {"internal/fault"},
	},
	{ // what the tests of the small tools' users share
		"internal/fields/fieldtest": {},
	},
	{ // the files of layers on disk
		"internal/layerfmt":   {},
		"internal/layerindex": {"internal/layerfmt"},
		"internal/xattrlog":   {},
	},
	{ // the parts of a union
		"unionmount/internal/encoding": {"internal/layerfmt", "internal/xattrlog", "unionmount/internal/sys"},
		"unionmount/internal/fdcache":  {"unionmount/internal/sys"},
		"unionmount/internal/layer": {
			"internal/layerfmt", "internal/layerindex", "internal/xattrlog", "unionmount/internal/encoding",
			"unionmount/internal/sys", "unionmount/internal/workdir",
		},
		"unionmount/internal/listing": {},
		"unionmount/internal/quota":   {"unionmount/internal/sys"},
		"unionmount/internal/sys":     {},
		"unionmount/internal/workdir": {"internal/layerfmt", "unionmount/internal/sys"},
	},
	{ // one subject each, which know nothing of one another
		"engine/events":           {},
		"engine/request":          {},
		"layers/blobcache":        {},
		"layers/imagename":        {},
		"layers/internal/scratch": {},
		"layers/progress":         {},
		"layers/tree":             {"internal/layerfmt", "internal/layerindex", "internal/xattrlog"},
		"rootless":                {},
		"runtime":                 {},
		"unionmount": {
			"internal/layerfmt", "internal/layerindex", "unionmount/internal/encoding", "unionmount/internal/fdcache",
			"unionmount/internal/layer", "unionmount/internal/listing", "unionmount/internal/quota",
			"unionmount/internal/sys", "unionmount/internal/workdir",
		},
	},
	{ // the FUSE server of a union, and its client; how layers are on disk
		"fusefs":       {"fusefs/mount", "unionmount"},
		"fusefs/mount": {"unionmount"},
		"layers/driver": {
			"internal/layerfmt", "internal/xattrlog", "layers/internal/scratch", "layers/tree",
		},
	},
	{ // an open store of images
		"layers/internal/core": {
			"layers/blobcache", "layers/driver", "layers/internal/scratch", "layers/tree",
		},
	},
	{ // its images and containers, by name
		"layers": {
			"internal/layerfmt", "layers/driver", "layers/imagename", "layers/internal/core", "layers/tree",
		},
	},
	{ // what brings images in
		"layers/internal/intake": {
			"layers", "layers/blobcache", "layers/driver", "layers/imagename", "layers/internal/core",
			"layers/internal/scratch", "layers/progress", "layers/tree",
		},
	},
	{ // what else is done with a store
		"layers/archive": {
			"layers", "layers/driver", "layers/imagename", "layers/internal/core", "layers/internal/intake",
			"layers/internal/scratch", "layers/progress", "layers/tree",
		},
		"layers/registry": {
			"layers", "layers/blobcache", "layers/imagename", "layers/internal/core", "layers/internal/intake",
			"layers/progress", "layers/tree",
		},
		"layers/upkeep": {
			"internal/layerindex", "layers", "layers/driver", "layers/internal/core", "layers/internal/scratch",
			"layers/progress", "layers/tree",
		},
	},
	{ // what their tests share
		"layers/internal/fewfiles": {},
		"layers/internal/storetest": {
			"internal/layerfmt", "layers", "layers/archive", "layers/imagename", "layers/internal/core",
			"layers/internal/intake",
			"layers/progress", "layers/registry", "layers/upkeep",
		},
	},
	{ // mounted unions, and the drop-in for fuse-overlayfs
		"fusefs/mounted":       {"fusefs", "fusefs/mount", "unionmount"},
		"internal/fuseoverlay": {"fusefs/mount", "fusefs/mounted", "internal/layerfmt", "unionmount"},
	},
	{ // containers, without the store of images
		"engine": {
			"engine/events", "engine/request", "fusefs/mount", "fusefs/mounted", "internal/layerfmt",
			"internal/xattrlog", "rootless",
			"runtime", "unionmount",
		},
	},
	{ // containers with their images
		"engine/layered": {
			"engine", "fusefs/mount", "fusefs/mounted", "layers", "layers/archive", "layers/driver", "layers/imagename",
			"layers/progress", "layers/registry", "layers/tree", "layers/upkeep", "rootless",
		},
	},
	{ // what is shown of them
		"engine/view": {"engine", "engine/layered", "layers", "rootless"},
	},
	{ // measurements
		"bench/chart":      {},
		"bench/filesystem": {"bench/chart", "bench/stats", "bench/workload", "layers/tree", "rootless"},
		"bench/startup": {"bench/stats", "engine", "fusefs/mounted", "internal/fuseoverlay", "runtime",
			"unionmount"},
		"bench/stats":    {},
		"bench/unpack":   {"bench/stats"},
		"bench/workload": {},
	},
	{ // programs
		"bench": {"bench/filesystem", "bench/startup", "bench/unpack"},
		"cmd/rcrun": {
			"engine", "engine/events", "engine/layered", "engine/view", "fusefs/mount", "internal/fuseoverlay",
			"internal/layerfmt", "layers", "layers/archive", "layers/driver", "layers/imagename",
			"layers/progress", "layers/registry", "layers/tree", "layers/upkeep", "rootless",
		},
		"cmd/rcrun/stage": {"engine", "internal/fuseoverlay"},
		"examples/follow": {"engine", "engine/layered", "layers/archive"}, // what is public
	},
	{ // tests
		"tests":              {},
		"tests/architecture": {},
		"tests/patience":     {},
		"tests/posix":        {},
	},
}

const importsFile = "tests/architecture/imports_test.go"

// TestImportGraph holds each package to the packages that it may import.
func TestImportGraph(t *testing.T) {
	all := sources(t)
	found := map[string]map[string]bool{}
	for _, s := range all {
		if found[s.dir()] == nil {
			found[s.dir()] = map[string]bool{}
		}
		for _, imported := range s.imports {
			if name, ours := strings.CutPrefix(imported, module); ours && !s.isTest() {
				found[s.dir()][name] = true
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		checkImports(t, dir, slices.Sorted(maps.Keys(found[dir])))
	}
	for _, floor := range floors {
		for dir := range floor {
			if found[dir] == nil {
				t.Errorf("there is no package %s: remove it from %s", dir, importsFile)
			}
		}
	}
}

// checkImports compares what a package imports with what it may.
func checkImports(t *testing.T, dir string, found []string) {
	t.Helper()
	level := floorOf(dir)
	if level < 0 {
		t.Errorf("the package %s is new: add it to floors in %s, on the lowest floor above all that it imports: %q",
			dir, importsFile, found)
		return
	}
	allowed := floors[level][dir]
	for _, name := range found {
		if floorOf(name) == 0 && level > 0 {
			continue
		}
		if !slices.Contains(allowed, name) {
			t.Errorf("%s imports %s and may not: do without, or change the list of %s in %s if the design says so",
				dir, name, dir, importsFile)
		}
	}
	for _, name := range allowed {
		if !slices.Contains(found, name) {
			t.Errorf("%s does not import %s any more: remove it from the list of %s in %s", dir, name, dir, importsFile)
		}
		if floorOf(name) > level {
			t.Errorf("%s is above %s, and nothing imports upward: move one of them, in the code or in %s", name, dir,
				importsFile)
		}
	}
}

func floorOf(dir string) int {
	return slices.IndexFunc(floors, func(floor imports) bool { _, ok := floor[dir]; return ok })
}

// TestFUSEStaysInFusefs has one package alone speak the FUSE protocol.
func TestFUSEStaysInFusefs(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			if strings.HasPrefix(imported, "github.com/hanwen/go-fuse/") && s.top() != "fusefs" && !s.isTest() {
				t.Errorf("%s imports %s; only fusefs speaks the FUSE protocol: add what is missing there", s.path,
					imported)
			}
		}
	}
}

// TestStoreAndUnionShareTheFormat has the store of images and the union have in common how layers are on disk, and no
// more.
func TestStoreAndUnionShareTheFormat(t *testing.T) {
	format := []string{"internal/layerfmt", "internal/layerindex", "internal/xattrlog"}
	files := []string{"internal/filecopy", "internal/beneath", "internal/rmtree", "internal/eintr"}
	all := sources(t)
	union := reaches(all, "unionmount")
	for _, room := range []string{"layers", "layers/archive", "layers/registry", "layers/upkeep"} {
		for _, shared := range reaches(all, room) {
			if slices.Contains(union, shared) && !slices.Contains(append(files, format...), shared) {
				t.Errorf("%s and unionmount share %s: move what both need into the on-disk format (%q)", room, shared,
					format)
			}
		}
	}
}
