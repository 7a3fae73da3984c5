package tests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestLayersStayInTheirTree loads images whose upper layer would leave the tree by links of the lower one, or is odd
// otherwise. Each is refused in one sentence, or is an image like others, and the host is as before.
func TestLayersStayInTheirTree(t *testing.T) {
	u := newUser(t)
	outside := u.path("home", "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	u.writeFile(outside+"/kept", "kept\n")
	foreign := symlink("foreign", outside).owned(1, 1) // is no link on disk
	links := pack(t, symlink("out", outside), symlink("up", "../../../../../../.."+outside), foreign,
		symlink("etc/up", "../out"))
	lower := join(t, busyboxTree(t), links)
	var loaded []picture
	for _, c := range slices.Concat(layersThroughLinks(t, outside), layersOfOtherKinds(t, outside),
		oddLayers(t, outside)) {
		if c.want == fine {
			loaded = append(loaded, newPicture(fmt.Sprintf("evil:v%d", len(loaded)), lower, c.upper))
			continue
		}
		p := newPicture("refused:v1", links, c.upper)
		r := u.tryWith(p.dockerArchive(t), "load")
		if r.code != 125 || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d\n%s", c.name, r.code, r.stderr)
		}
	}
	u.succeeded(u.tryWith(dockerArchive(t, loaded...), "load"))
	for _, i := range []int{0, 7, 9, 12, 13, 14, len(loaded) - 1} { // of each kind one
		u.prints("ok", "run", "--rm", "--network", "none", loaded[i].name, "/bin/busybox", "sh", "-c",
			"for f in /* /*/*; do [ -f $f ] && [ $f != /etc/secret ] && cat $f >/dev/null; done; echo ok")
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 1 || string(readFile(t, outside+"/kept")) != "kept\n" {
		t.Errorf("on the host there is %v, %v", left, err)
	}
}

// A hostileLayer is the tar of an upper layer and what becomes of its image.
type hostileLayer struct {
	name, want string
	upper      []byte
}

const fine, refused = "fine", "refused"

// layersThroughLinks have entries below links of the lower layer.
func layersThroughLinks(t *testing.T, outside string) []hostileLayer {
	return []hostileLayer{
		{"file through a link", fine, pack(t, file("out/evil", 0o644, "x"))},
		{"file through a relative link", fine, pack(t, file("up/evil", 0o644, "x"))},
		{"file through a foreign link", fine, pack(t, file("foreign/evil", 0o644, "x"))},
		{"file through two links", fine, pack(t, file("etc/up/evil", 0o644, "x"))},
		{"directory through a link", fine, pack(t, directory("out/evil", 0o755))},
		{"whiteout through a link", fine, pack(t, file("out/.wh.kept", 0, ""))},
		{"opaque mark through a link", fine, pack(t, file("out/.wh..wh..opq", 0, ""))},
		{"hard link through a link", refused, pack(t, hardLink("evil", "out/kept"))},
		{"hard link to a link", refused, pack(t, hardLink("evil", "out"))},
		{"hard link, then content", refused, pack(t, hardLink("evil", "out/kept"), file("evil", 0o644, "x"))},
		{"link replaced by a directory", fine, pack(t, directory("out", 0o755), file("out/evil", 0o644, "x"))},
		{"link replaced by a link", fine, pack(t, symlink("up", outside+"/kept"))},
	}
}

// layersOfOtherKinds put files of one kind where the lower layer has one of another, and have marks for the storage
// below.
func layersOfOtherKinds(t *testing.T, outside string) []hostileLayer {
	return []hostileLayer{
		{"directory replaced by a file", fine, pack(t, file("home", 0o644, "x"))},
		{"directory replaced by a link", fine, pack(t, symlink("home", outside))},
		{"file replaced by a directory", fine,
			pack(t, directory("etc/secret", 0o755), file("etc/secret/x", 0o644, "x"))},
		{"directory replaced by a pipe", fine, pack(t, nodeOf(tar.TypeFifo, "home"))},
		{"directory replaced by a device", fine, pack(t, nodeOf(tar.TypeChar, "home"))},
		{"all deleted but the program", fine,
			pack(t, file(".wh.home", 0, ""), file(".wh.etc", 0, ""), file(".wh.var", 0, ""))},
		{"mark of our own, redirect", fine, pack(t, marked("evil", "user.rcrun.redirect", "1:../../../.."+outside))},
		{"mark of our own, data", fine, pack(t, marked("evil", "user.rcrun.data", "1:../../../.."+outside+"/kept"))},
		{"mark of the kernel's", fine,
			pack(t, marked("evil", "user.overlay.redirect", outside), marked("evil2", "trusted.overlay.opaque", "y"))},
		{"mark of other engines", fine,
			pack(t, marked("evil", "user.containers.override_stat", "0:0:0104755"),
				marked("evil2", "user.fuseoverlayfs.opaque", "y"))},
		{"root of another kind", refused, pack(t, symlink("./", outside))},
	}
}

// oddLayers have odd names, headers and attributes.
func oddLayers(t *testing.T, outside string) []hostileLayer {
	long := strings.Repeat("n", 200)
	return []hostileLayer{
		{"names with odd characters", fine,
			pack(t, file("new\nline", 0o644, "x"), file("\x1b[31mred", 0o644, "x"), file("\xff\xfe", 0o644, "x"),
				file(" ", 0o644, "x"))},
		{"long path", fine, pack(t, file(strings.Repeat(long+"/", 15)+long, 0o644, "x"))},
		{"name of 256 bytes", refused, pack(t, file(strings.Repeat("n", 256), 0o644, "x"))},
		{"name leads out", refused, pack(t, file("../../../../../../../.."+outside+"/evil", 0o644, "x"))},
		{"absolute name of the host's", fine, pack(t, file(outside+"/evil", 0o644, "x"))},
		{"header with a negative size", refused,
			rawHeader(t, func(block []byte) {
				copy(block[124:136],
					"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
			})},
		{"header with an endless size", refused,
			rawHeader(t, func(block []byte) { copy(block[124:136], "77777777777\x00") })},
		{"header with a false checksum", refused, damagedHeader(t)},
		{"header of a link with content", refused,
			rawHeader(t, func(block []byte) { block[156] = tar.TypeSymlink; copy(block[157:], "out") })},
		{"capabilities and set-user-id", fine,
			pack(t, marked("etc/secret", "security.capability", strings.Repeat("\x01", 20)),
				file("bin/evil", 0o6755, "x"))},
		{"whiteouts of what is not there", fine,
			pack(t, file(".wh.nothing", 0, ""), file("no/where/.wh.nothing", 0, ""))},
		{"whiteout of a whiteout", refused, pack(t, file(".wh..wh.x", 0, ""))},
		{"whiteout of the parent", refused, pack(t, file("etc/.wh...", 0, ""))},
		{"content for a device", fine, pack(t, nodeOf(tar.TypeBlock, "dev/sda"), nodeOf(tar.TypeChar, "dev/null"))},
		{"content of this very directory", fine, pack(t, file("./././etc/./evil", 0o644, "x"))},
		{"hard link to an absolute name", refused, pack(t, hardLink("evil", "/etc/passwd-of-the-host"))},
		{"hard link to one that is erased", refused, pack(t, file(".wh.etc", 0, ""), hardLink("evil", "etc/up"))},
	}
}

// nodeOf is an entry of the given type, a device being that of /dev/null.
func nodeOf(typ byte, name string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: typ, Mode: 0o666, Devmajor: 1, Devminor: 3}}
}

// marked is a file with an xattr.
func marked(name, xattr, value string) entry {
	e := file(name, 0o644, "x")
	e.PAXRecords = map[string]string{"SCHILY.xattr." + xattr: value}
	return e
}

// rawHeader is a tar with one file whose header is edited, with the right checksum.
func rawHeader(t *testing.T, edit func(block []byte)) []byte {
	t.Helper()
	content := pack(t, file("evil", 0o644, "x"))
	block := content[:512]
	edit(block)
	copy(block[148:156], "        ")
	total := 0
	for _, b := range block {
		total += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", total))
	return content
}

// damagedHeader is a tar in which the checksum of the second header is false.
func damagedHeader(t *testing.T) []byte {
	t.Helper()
	content := pack(t, file("first", 0o644, "x"), file("second", 0o644, "x"))
	content[bytes.Index(content, []byte("second"))] = 'S'
	return content
}

// TestHostileConfigurations loads and runs images with configurations that no honest program makes. Each is refused in
// one sentence at some time, or has no effect on anything but its container.
func TestHostileConfigurations(t *testing.T) {
	u := newUser(t)
	lower := busyboxTree(t)
	configurations := hostileConfigurations()
	images := []picture{newPicture("good:v1", lower)}
	for _, name := range slices.Sorted(maps.Keys(configurations)) {
		p := newPicture("evil:"+name, lower)
		p.config.Config.Cmd = []string{"true"}
		configurations[name](&p.config.Config)
		images = append(images, p)
	}
	u.succeeded(u.tryWith(dockerArchive(t, images...), "load"))
	names := []string{}
	for _, p := range images {
		r := u.try("run", "--rm", "--network", "none", p.name)
		if !slices.Contains([]int{0, 1, 125, 126, 127}, r.code) || r.code != 0 && strings.Count(r.stderr, "\n") != 1 ||
			len(r.stderr) > 20_000 {
			t.Errorf("%s: exit code %d\n%.500s", p.name, r.code, r.stderr)
		}
		names = append(names, p.name)
	}
	u.prints("", "ps", "-aq")
	u.run(append([]string{"image", "inspect"}, names...)...)
	contains(t, u.run("images", "--format", "{{.Repository}}:{{.Tag}}"), names...)
	u.run("history", "evil:command-with-nul")
	u.run(append([]string{"rmi"}, names...)...)
	u.isEmptyStore()
}

// hostileConfigurations are changes of a configuration that no honest program makes, by name.
func hostileConfigurations() map[string]func(c *v1.ImageConfig) {
	configurations := oddConfigurations()
	for field, c := range map[string]struct {
		set    func(c *v1.ImageConfig, value string)
		values []string
	}{
		"user": {func(c *v1.ImageConfig, v string) { c.User = v },
			[]string{"a:b:c", "-1", "4294967295:0", "no\x1b[31mbody", "\x00"}},
		"directory": {func(c *v1.ImageConfig, v string) { c.WorkingDir = v },
			[]string{"../../../x", "/etc/passwd", strings.Repeat("/x", 3000), "/\x00"}},
		"signal": {func(c *v1.ImageConfig, v string) { c.StopSignal = v },
			[]string{"SIGNOPE", "-1", "KILL\n", strings.Repeat("9", 100)}},
		"volume": {func(c *v1.ImageConfig, v string) { c.Volumes = map[string]struct{}{v: {}} },
			[]string{"/", "../../x", "/proc", "", "/\x00"}},
		"port": {func(c *v1.ImageConfig, v string) { c.ExposedPorts = map[string]struct{}{v: {}} },
			[]string{"x/tcp", "99999/tcp", "-1/udp", "", "\x1b[31m"}},
		"label": {func(c *v1.ImageConfig, v string) { c.Labels = map[string]string{v: v} },
			[]string{"\x1b[31m\n", strings.Repeat("l", 1<<20)}},
		"entrypoint": {func(c *v1.ImageConfig, v string) { c.Entrypoint = []string{v, "x"} },
			[]string{"/proc/1/exe", "/dev/null"}},
	} {
		for i, value := range c.values {
			configurations[fmt.Sprint(field, "-", i)] = func(config *v1.ImageConfig) { c.set(config, value) }
		}
	}
	return configurations
}

// oddConfigurations are those whose environment or command is odd.
func oddConfigurations() map[string]func(c *v1.ImageConfig) {
	many := make([]string, 200_000)
	for i := range many {
		many[i] = fmt.Sprintf("VARIABLE%d=x", i)
	}
	return map[string]func(c *v1.ImageConfig){
		"variable-with-nul": func(c *v1.ImageConfig) { c.Env = []string{"A=x\x00B=y"} },
		"variable-of-3-mb":  func(c *v1.ImageConfig) { c.Env = []string{"A=" + strings.Repeat("x", 3<<20)} },
		"200000-variables":  func(c *v1.ImageConfig) { c.Env = many },
		"variables-of-no-form": func(c *v1.ImageConfig) {
			c.Env = []string{"", "=", "=x", "A", "LD_PRELOAD=/evil.so", "PATH="}
		},
		"command-with-nul":          func(c *v1.ImageConfig) { c.Cmd = []string{"true\x00x"} },
		"command-of-nothing":        func(c *v1.ImageConfig) { c.Cmd = []string{""} },
		"200000-arguments":          func(c *v1.ImageConfig) { c.Cmd = append([]string{"true"}, many...) },
		"entrypoint-is-a-directory": func(c *v1.ImageConfig) { c.Entrypoint = []string{"/etc"} },
	}
}
