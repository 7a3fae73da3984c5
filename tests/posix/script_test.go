package posix

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// process makes the system calls of a script on one filesystem.
type process struct {
	fs    *filesystem
	files map[string]int    // open files by the names that scripts give them
	maps  map[string][]byte // mapped files by the names that scripts give them
	marks map[string]unix.Stat_t
	todo  chan func()
	ready chan struct{}
}

// start makes a thread for the process: with a working directory, a umask and ids of its own.
func start(f *filesystem) *process {
	p := &process{fs: f, files: map[string]int{}, maps: map[string][]byte{}, marks: map[string]unix.Stat_t{},
		todo: make(chan func()), ready: make(chan struct{})}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // and it ends with the goroutine
		begun <- enter(f.root)
		for do := range p.todo {
			do()
			p.ready <- struct{}{}
		}
		unix.Chdir("/") // since the thread may live a little longer
		close(p.ready)
	}()
	must(f.t, <-begun)
	return p
}

func enter(dir string) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	unix.Umask(0o022)
	return unix.Chdir(dir)
}

// end closes all that is open, so that the filesystem can be unmounted.
func (p *process) end() {
	for _, memory := range p.maps {
		unix.Munmap(memory)
	}
	for _, fd := range p.files {
		unix.Close(fd)
	}
	close(p.todo)
	<-p.ready
}

// do runs one line: "[@UID[:GID[,GID...]]] CALL ARGUMENT...". It returns what the call says.
func (p *process) do(line string) (result string) {
	words := strings.Fields(line)
	who := ""
	if strings.HasPrefix(words[0], "@") {
		who, words = words[0][1:], words[1:]
	}
	call, ok := calls[words[0]]
	if !ok || len(words)-1 < call.min {
		p.fs.t.Fatalf("bad line %q", line)
	}
	args := slices.Clone(words[1:])
	for i := range args {
		args[i] = expand(args[i])
	}
	args = append(args, make([]string, 8)...)
	p.todo <- func() {
		defer become(p.fs.t, who)()
		result = describe(call.do(p, args))
	}
	<-p.ready
	return result
}

// expand replaces NAME*COUNT by so many repetitions of NAME.
func expand(arg string) string {
	text, count, ok := strings.Cut(arg, "*")
	n, err := strconv.Atoi(count)
	if !ok || err != nil {
		return arg
	}
	return strings.Repeat(text, n)
}

func describe(text string, err error) string {
	if err == nil {
		return strings.TrimSpace("ok " + text)
	}
	if errno, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// become lets the thread act as a user and groups, and returns what takes it back.
func become(t *testing.T, who string) (back func()) {
	if who == "" {
		return func() {}
	}
	user, groups, _ := strings.Cut(who, ":")
	uid, _ := strconv.Atoi(user)
	gids := []uint32{uint32(uid)}
	for i, text := range strings.Split(groups, ",") {
		if gid, err := strconv.Atoi(text); err == nil && i == 0 {
			gids[0] = uint32(gid)
		} else if err == nil {
			gids = append(gids, uint32(gid))
		}
	}
	setIDs(t, uid, gids)
	return func() { setIDs(t, 0, []uint32{0}) }
}

const unchanged = ^uintptr(0)

// setIDs changes the effective ids of this thread only, for which package syscall has no functions.
func setIDs(t *testing.T, uid int, gids []uint32) {
	set := func(trap uintptr, a, b, c uintptr) {
		if _, _, errno := unix.RawSyscall(trap, a, b, c); errno != 0 {
			t.Errorf("become %d %v: %v", uid, gids, errno)
		}
	}
	if uid == 0 {
		set(unix.SYS_SETRESUID, unchanged, 0, unchanged)
	}
	set(unix.SYS_SETGROUPS, uintptr(len(gids)), uintptr(pointer(&gids[0])), 0)
	set(unix.SYS_SETRESGID, unchanged, uintptr(gids[0]), unchanged)
	if uid != 0 {
		set(unix.SYS_SETRESUID, unchanged, uintptr(uid), unchanged)
	}
}

// duel runs scripts on a union and on a plain directory.
type duel struct {
	t            *testing.T
	kernel       bool
	union, plain *filesystem
	a, b         *process
	log          []string
	differs      bool
	name         string                  // of the case that runs
	names        []string                // of all cases, by the numbers of their directories
	tell         func(name, text string) // of a difference in a case
}

func newDuel(t *testing.T, k kind) *duel {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(dir+"/..", 0o755))
	d := &duel{t: t, kernel: k.kernel, tell: func(name, text string) { t.Errorf("%s: %s", name, text) },
		union: newUnion(t, dir+"/union", k), plain: newPlain(t, dir+"/plain")}
	d.union.addLayer()
	d.start()
	t.Cleanup(d.end)
	return d
}

func (d *duel) start() { d.a, d.b = start(d.union), start(d.plain) }

func (d *duel) end() {
	if d.a == nil {
		return
	}
	d.a.end()
	d.b.end()
	d.a, d.b = nil, nil
}

// report tells of a difference in a case.
func (d *duel) report(name, format string, args ...any) {
	d.t.Helper()
	d.differs = true
	d.tell(name, fmt.Sprintf(format, args...))
}

// run runs a line on both, and tells of a difference. What a union refuses to rename, both leave as it is.
func (d *duel) run(line string) {
	d.t.Helper()
	if newLayer := line == "layer"; newLayer || line == "remount" {
		before := inodes(d.union.root)
		d.end()
		d.union.remount(newLayer)
		d.start()
		if !newLayer && !d.kernel { // whose numbers are others once it has forgotten a file
			d.compareInodes(before)
		}
		d.log = append(d.log, line)
		return
	}
	got := d.a.do(line)
	if got == "EXDEV" {
		d.log = append(d.log, "# "+line+" = EXDEV")
		d.report(d.name, "%s\n  a union says:   %s", line, got)
		return
	}
	want := d.b.do(line)
	d.log = append(d.log, line+" = "+got)
	if got != want {
		d.report(d.name, "%s\n  a union says:   %s\n  a directory:    %s", line, got, want)
	}
}

// compare compares the trees.
func (d *duel) compare() {
	d.t.Helper()
	got, want := dump(d.union.root, !d.kernel), dump(d.plain.root, !d.kernel)
	for _, path := range keys(got, want) {
		if got[path] != want[path] {
			d.report(d.caseOf(path), "%s\n  in a union:     %s\n  in a directory: %s", path, got[path], want[path])
		}
	}
	if !d.kernel { // which counts no subdirectories
		d.compareSubdirs()
	}
}

// compareSubdirs compares the link counts of directories.
func (d *duel) compareSubdirs() {
	d.t.Helper()
	want := subdirs(d.plain.root)
	for path, links := range subdirs(d.union.root) {
		if links != want[path] && want[path] != 0 {
			d.report(d.caseOf(path), "%s has %d links and in a directory %d", path, links, want[path])
		}
	}
}

// compareInodes wants inode numbers to be as before a remount: of files that can note on disk which they had.
func (d *duel) compareInodes(before map[string]uint64) {
	d.t.Helper()
	for path, ino := range inodes(d.union.root) {
		if before[path] != ino && before[path] != 0 {
			d.report(d.caseOf(path), "%s has inode number %d and had %d before it was mounted again", path, ino,
				before[path])
		}
	}
}

// caseOf returns the name of the case that a path is of; of scripts without cases, the name that they have.
func (d *duel) caseOf(path string) string {
	dir, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	i, err := strconv.Atoi(strings.TrimPrefix(dir, "c"))
	if err != nil || i >= len(d.names) {
		return d.name
	}
	return d.names[i]
}

func keys(a, b map[string]string) []string {
	var all []string
	for path := range a {
		all = append(all, path)
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return all
}

func number(text string) int {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil && text != "" {
		panic(fmt.Sprintf("bad number %q in a script", text))
	}
	return int(n)
}
