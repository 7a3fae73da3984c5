package tests

import (
	"archive/tar"

	"os"
	"strings"
	"testing"
)

// unharmed checks that nothing was made in the user's home and that the store is as if nothing had been tried.
func (u *user) unharmed() {
	u.t.Helper()
	u.prints("", "images", "-q")
	u.isEmptyStore()
	entries, err := os.ReadDir(u.path("home"))
	if err != nil {
		u.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".local" {
			u.t.Errorf("there is a file %s in the user's home", e.Name())
		}
	}
}

// TestLayerLimits has a tar refused for each of the limits that a user sets, and limits that are none.
func TestLayerLimits(t *testing.T) {
	u := newUser(t)
	tar := pack(t, directory("d", 0o755), file("d/f", 0o644, strings.Repeat("x", 2000)), file("g", 0o644, "x"))
	for flag, part := range map[string]string{
		"--max-layer-size=1k": "1024 bytes", "--max-layer-files=2": "2 entries", "--max-layer-depth=1": "2 levels deep",
		"--max-layer-files=0": "want a number", "--max-layer-depth=5000": "from 1 to 4096",
		"--max-xattr-size=none": "want a size",
	} {
		u.failed(u.tryWith(tar, flag, "import", "-", "limited"), 125, part)
		u.unharmed()
	}
	marked := file("f", 0o644, "x")
	marked.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "value"}
	u.failed(u.tryWith(pack(t, marked), "--max-xattr-size=5b", "import", "-", "limited"), 125, "5 bytes",
		"--max-xattr-size")
	u.unharmed()
}

// TestRefusedTars imports tars that no honest program writes.
func TestRefusedTars(t *testing.T) {
	u := newUser(t)
	good := busyboxTree(t)
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		content []byte
		parts   []string
	}{
		"empty":         {nil, nil},
		"no tar at all": {[]byte(strings.Repeat("this is text\n", 200)), nil},
		"cut in a file": {good[:len(good)/2], []string{"unexpected EOF"}},
		"cut gzip":      {compress(t, good)[:100_000], []string{"unexpected EOF"}},
		"name with ..":  {pack(t, file("../evil", 0o644, "x")), []string{"../evil"}},
		"name with .. further on": {pack(t, directory("a", 0o755), file("a/../../evil", 0o644, "x")),
			[]string{"a/../../evil"}},
		"hard link to the outside": {pack(t, hardLink("passwd", "../../../../../../etc/passwd")), []string{"passwd"}},
		"hard link to an absolute": {pack(t, hardLink("passwd", "/etc/passwd")), []string{"passwd"}},
		"hard link through a link": {pack(t, symlink("out", "/etc"), hardLink("passwd", "out/passwd")),
			[]string{"passwd"}},
		"hard link to what follows": {pack(t, hardLink("first", "second"), file("second", 0o644, "x")),
			[]string{"first"}},
		"name of 300 characters": {pack(t, file(long, 0o644, "x")), []string{"300"}},
		"a name twice": {pack(t, file("twice", 0o600, "x"), file("twice", 0o640, "y"),
			file("last", 0o600, "")), []string{"duplicate", `"twice"`}},
		"a link, then a directory": {pack(t, symlink("out", u.path("home")), directory("out", 0o755),
			file("out/evil", 0o644, "x")), []string{"duplicate", `"out/"`}},
		"negative owner": {pack(t, file("f", 0o644, "x").owned(-5, 0)), []string{"-5"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := u.with(t)
			u.failed(u.tryWith(c.content, "import", "-", "evil"), 125, c.parts...)
			u.unharmed()
		})
	}
}

// TestOddTars imports tars that are unusual but allowed.
func TestOddTars(t *testing.T) {
	u := newUser(t)
	deep := strings.Repeat("0123456789/", 30) + "file" // 334 characters
	odd := pack(t, file("/absolute", 0o644, "absolute\n"), file("./dotted", 0o644, "dotted\n"),
		file("no/parent/entry", 0o644, "made\n"),
		file(deep, 0o644, "deep\n"), file("a", 0o644, "linked\n"), hardLink("b", "a"),
		symlink("dangling", "/../../nowhere"),
		entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}},
		entry{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Mode: 0o660, Devmajor: 8, Gid: 6}},
		entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o600}},
		file("owned", 0o644, "x").owned(60000, 65000),
		symlink("out", u.path("home")), file("out/inside", 0o644, "inside\n"), symlink("top", "/"),
		directory("top"+u.path("home")+"/made", 0o750))
	p := newPicture("odd:v1", busyboxTree(t), odd)
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	u.prints("absolute\ndotted\nmade\ndeep\nlinked\nlinked", "run", "--rm", "odd:v1", "cat", "/absolute", "/dotted",
		"/no/parent/entry", "/"+deep, "/a", "/b")
	u.prints("666 character special file 1\n660 block special file 1\n600 fifo 1\n644 regular file 2\n644 regular "+
		"file 2", "run", "--rm", "odd:v1",
		"stat", "-c", "%a %F %h", "/null", "/disk", "/fifo", "/a", "/b")
	u.prints("60000 65000\n1 3\n/../../nowhere", "run", "--rm", "odd:v1", "sh", "-c",
		"stat -c '%u %g' /owned; stat -c '%t %T' /null; readlink /dangling")
	// What comes by way of a link is in the image, wherever the link leads on the host.
	u.prints("inside\n750", "run", "--rm", "odd:v1", "sh", "-c",
		"cd "+u.path("home")+" && cat inside && stat -c %a made")
	if r := u.try("run", "--rm", "odd:v1", "sh", "-c", "echo x >/disk"); r.code == 0 {
		t.Error("a device node of an image can be opened")
	}
	entries, err := os.ReadDir(u.path("home"))
	if err != nil || len(entries) != 1 {
		t.Errorf("the user's home has %v, %v", entries, err)
	}
}

func TestRefusedArchives(t *testing.T) {
	u := newUser(t)
	good := newPicture("app:v1", busyboxTree(t))
	wrong := good
	wrong.layers = [][]byte{upperLayer(t)} // not what the configuration says
	for name, c := range map[string]struct {
		content []byte
		parts   []string
	}{
		"no archive":     {[]byte("text"), nil},
		"a root tree":    {busyboxTree(t), []string{"not an archive of images"}},
		"cut":            {good.dockerArchive(t)[:1_000_000], nil},
		"another layer":  {wrong.ociArchive(t), []string{"configuration"}},
		"empty manifest": {pack(t, file("manifest.json", 0o644, "[]")), nil},
		"bad manifest":   {pack(t, file("manifest.json", 0o644, "{")), nil},
		"outside": {pack(t,
			file("manifest.json", 0o644,
				`[{"Config":"../../etc/passwd","RepoTags":["a:b"],"Layers":["/etc/passwd"]}]`)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			u := u.with(t)
			u.failed(u.tryWith(c.content, "load"), 125, c.parts...)
			u.unharmed()
		})
	}
}

// TestOtherArchitecture is warned about by its name, and ends where the kernel cannot execute the program.
func TestOtherArchitecture(t *testing.T) {
	u := newUser(t)
	// of an s390x
	elf := "\x7fELF\x02\x02\x01" + strings.Repeat("\x00", 9) + "\x00\x02\x00\x16" + strings.Repeat("\x00", 100)
	p := newPicture("other:v1", busyboxTree(t), pack(t, file("program", 0o755, elf)))
	p.config.Architecture = "s390x"
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	r := u.try("run", "--rm", "other:v1", "echo", "through")
	if r.stdout != "through\n" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "linux/s390x") {
		t.Errorf("a program of ours in an image for another architecture: %q, %q", r.stdout, r.stderr)
	}
	r = u.try("run", "--rm", "other:v1", "/program")
	if r.code != 126 || !strings.Contains(r.stderr, "exec format error") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	u.prints("", "ps", "-aq")
	// The image does not claim to be for another one.
	u.importImage("claims", pack(t, file("program", 0o755, elf)))
	u.fails(126, []string{"/program", "exec format error"}, "run", "--rm", "claims", "/program")
}
