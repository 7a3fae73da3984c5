package workload

import (
	"fmt"
	"slices"
)

const mib = 1 << 20

// writeback has the kernel collect what is written.
const writeback = "writeback=1"

// All returns the workloads in the order of the report. Each group is contiguous.
func All(c Config) []Entry {
	return slices.Concat(
		grouped("tree", treeEntries()),
		grouped("data", dataEntries(c)),
		grouped("files", fileEntries(c)),
		grouped("lower files", lowerEntries(c)),
		grouped("programs", programEntries(c)),
		grouped("layers", layerEntries(c)))
}

func grouped(group string, entries []Entry) []Entry {
	for i := range entries {
		entries[i].Group = group
	}
	return entries
}

func treeEntries() []Entry {
	return []Entry{
		{Name: "walk, cold", Workload: walk{workers: 1}},
		{Name: "walk, cold, 2 workers", Workload: walk{workers: 2}},
		{Name: "walk, cold, 8 workers", Workload: walk{workers: 8}},
		{Name: "walk, second", Workload: walk{workers: 1, before: 1}},
		{Name: "walk, warm", Workload: walk{workers: 1, before: 2}},
		{Name: "read, cold", Workload: readTree{workers: 1}},
		{Name: "read, cold, 2 workers", Workload: readTree{workers: 2}},
		{Name: "read, cold, 8 workers", Workload: readTree{workers: 8}},
		{Name: "read, second", Workload: readTree{workers: 1, before: 1}},
		{Name: "read, warm", Workload: readTree{workers: 1, before: 2}},
	}
}

func dataEntries(c Config) []Entry {
	size, places := int64(c.count(256))*mib, c.count(16384)
	return []Entry{
		{Name: "write 256 MiB", Workload: transfer{size: size, block: mib, write: true}},
		{Name: "write 65536 x 4 KiB", Workload: transfer{size: size, block: 4096, write: true}},
		{Name: "write 65536 x 4 KiB, writeback", Options: writeback, Workload: transfer{size: size, block: 4096,
			write: true}},
		{Name: "read 256 MiB, cold", Remount: true, Workload: transfer{size: size, block: mib}},
		{Name: "random write 16384 x 4 KiB", Workload: random{size: size, count: places, write: true}},
		{Name: "random write 16384 x 4 KiB, writeback", Options: writeback, Workload: random{size: size, count: places,
			write: true}},
		{Name: "random read 16384 x 4 KiB, cold", Remount: true, Workload: random{size: size, count: places}},
		{Name: "fio, 4 jobs of mixed 4 KiB", Needs: "fio", Workload: fio{size: c.count(8) * mib, jobs: 4}},
	}
}

func fileEntries(c Config) []Entry {
	files := c.count(10000)
	return []Entry{
		{Name: "create 10k", Workload: create{files: files, workers: 1}},
		{Name: "create 10k, 2 workers", Workload: create{files: files, workers: 2}},
		{Name: "create 10k, 8 workers", Workload: create{files: files, workers: 8}},
		{Name: "stat 10k, cold", Remount: true, Workload: stat{files}},
		{Name: "unlink 10k", Workload: unlink{files}},
		{Name: "untar", Workload: untar{c.Archive}},
		{Name: "rm -rf of untarred", Workload: removeUnpacked{untar{c.Archive}}},
	}
}

func lowerEntries(c Config) []Entry {
	return []Entry{
		{Name: "chmod -R", Changes: true, Workload: command{args: []string{"chmod", "-R", "g+w", system}}},
		{Name: "chown -R", Changes: true, Workload: command{args: []string{"chown", "-R", c.Owner, shared}}},
		{Name: "rename of a directory", Changes: true, Workload: command{args: []string{"mv", shared, "usr/moved"}}},
		{Name: "rm -rf", Changes: true, Workload: command{args: []string{"rm", "-rf", system}}},
	}
}

func programEntries(c Config) []Entry {
	build := []string{"go", "build", "-o", "program", "."}
	return []Entry{
		{Name: "git init, add, commit, status", Changes: true, Needs: "git", Workload: command{args: shell(gitScript),
			dir: sourcesGit}},
		{Name: "go build", Changes: true, Needs: "go", Workload: command{args: build, dir: sourcesGo}},
		{Name: "python imports", Changes: true, Needs: "python3", Workload: command{args: shell(pythonImports)}},
		{Name: "apt-get install", Changes: true, Debian: true, Needs: "dpkg-deb",
			Workload: aptInstall{files: c.count(2000)}},
		{Name: "sqlite inserts, writeback", Changes: true, Needs: "python3", Options: writeback,
			Workload: sqliteInserts(c.count(2000))},
		{Name: "sqlite inserts", Changes: true, Needs: "python3", Workload: sqliteInserts(c.count(2000))},
	}
}

func layerEntries(c Config) []Entry {
	var entries []Entry
	for _, n := range []int{1, 16, 64, 256} {
		entries = append(entries,
			Entry{Name: fmt.Sprintf("lookup, %d layers", n), Layers: n, Workload: lookup{files: c.count(layeredFiles)}},
			Entry{Name: fmt.Sprintf("walk, %d layers", n), Layers: n, Workload: walk{workers: 1}})
	}
	return entries
}
