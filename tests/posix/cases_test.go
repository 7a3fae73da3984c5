package posix

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// script is a case: what makes its part of the lower layer, what is done on top, and what on top of that, in a third
// layer where the union's can be lowers in turn. It has a directory of its own, D.
type script [3]string

// TestCases runs all cases on a union each, the kernel's included. What differs from a directory must be what is
// listed.
func TestCases(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if k.kernel {
				needOverlay(t)
			}
			found := differences{}
			for _, names := range [][]string{casesWhere(true), casesWhere(false)} {
				d := newDuel(t, k)
				d.tell = found.add
				runCases(d, names)
				d.end()
			}
			found.check(t, name, k)
		})
	}
}

// casesWhere returns the names of the cases that go through three layers, or of the others, which must not have a
// third: it would tear hard links apart that a remount has to leave.
func casesWhere(layered bool) (names []string) {
	for name, s := range cases() {
		if (s[2] != "") == layered {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func runCases(d *duel, names []string) {
	d.t.Helper()
	all := cases()
	d.names = names
	for i := range names {
		d.run(fmt.Sprintf("mkdir c%d 0777", i))
		d.run(fmt.Sprintf("chmod c%d 0777", i))
	}
	for layer := range len(script{}) {
		for i, name := range names {
			d.part(i, name, all[name][layer])
		}
		if layer == 0 || layer == 1 && all[names[0]][2] != "" {
			d.run("layer")
		}
	}
	d.name = "at the end"
	d.compare()
	d.run("remount")
	d.compare()
}

// part runs the lines of a case.
func (d *duel) part(i int, name, text string) {
	d.t.Helper()
	d.name = name
	d.run("umask 022")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			d.run(strings.ReplaceAll(line, "D/", fmt.Sprintf("c%d/", i)))
		}
	}
}

// makers make a file D/x of each type.
var makers = map[string]string{
	"reg": "create D/x 0644\nwrite D/x 0 content", "dir": "mkdir D/x 0755", "fifo": "mknod D/x fifo 0644",
	"sock": "bind D/x", "link": "symlink target D/x",
}

// add adds a case in which D/x, of each of some types, is in the lower layer, and one in which it is not.
func add(all map[string]script, name, kinds, text string) {
	for _, kind := range strings.Fields(kinds) {
		all[name+" lower "+kind] = script{makers[kind], text}
		all[name+" upper "+kind] = script{"", makers[kind] + "\n" + text}
		all[name+" merged "+kind] = script{"mkdir D/d 0755\ncreate D/d/low 0644\n" + strings.ReplaceAll(makers[kind],
			"D/", "D/d/"),
			"create D/d/new 0644\n" + strings.ReplaceAll(text, "D/", "D/d/") + "\nls D/d"}
	}
}

const everyKind = "reg dir fifo sock link"

// cases returns all cases by name.
func cases() map[string]script {
	all := map[string]script{}
	addTimes(all)
	addPermissions(all)
	addNames(all)
	addErrors(all)
	addRenames(all)
	addData(all)
	addUnlinked(all)
	addSticky(all)
	addLongPaths(all)
	addClocks(all)
	addOpening(all)
	addPrivileges(all)
	addLocks(all)
	addMappings(all)
	addTransfers(all)
	addFileFlags(all)
	addRunning(all)
	addLayers(all)
	return all
}

// addTimes has calls change the times that they are to change, and no others when they fail.
func addTimes(all map[string]script) {
	for call, kinds := range map[string]string{
		"chmod D/x 0600": "reg dir fifo sock", "lchown D/x 5 6": everyKind, "lchown D/x -1 -1": everyKind,
		"lchown D/x 0 0": everyKind, "link D/x D/y": "reg fifo sock link",
		"rename D/x D/y": everyKind, "setxattr D/x user.a v": "reg dir", "truncate D/x 0": "reg",
		"truncate D/x 9":   "reg",
		"write D/x 0 data": "reg", "append D/x data": "reg", "open D/x w|trunc": "reg", "open D/x rw": "reg",
		"utimes D/x 1 2":     "reg dir fifo sock",
		"utimes D/x now now": "reg dir", "utimes D/x omit omit": "reg dir",
		"setacl D/x access u::7,g::5,o::0": "reg dir",
		"create D/x/new 0644":              "dir", "mkdir D/x/new 0755": "dir", "symlink t D/x/new": "dir",
		"ls D/x": "dir", "access D/x 4": "reg dir",
		"@1000 chmod D/x 0600": "reg dir", "@1000 chown D/x 1000 1000": "reg dir", "@1000 write D/x 0 data": "reg",
		"@1000 truncate D/x 0": "reg",
		"unlink D/x/none":      "dir", "rmdir D/x": "reg dir", "unlink D/x": everyKind,
		"setxattr D/x user.a v replace": "reg",
		"rmxattr D/x user.a":            "reg", "@1000 utimes D/x 1 2": "reg", "@1000 utimes D/x now now": "reg",
		"chmod D/x 0644": "reg",
	} {
		add(all, "times "+call, kinds,
			"chmod D/ 0777\nmark D/x D/\n"+call+"\nchanged D/x\nchanged D/\nlstat D/x\nlstat D/y")
	}
	all["times of directories"] = script{"mkdir D/d 0755\ncreate D/d/f 0644\nmkdir D/d/e 0755\nutimes D/d/e 5 " +
		"6\nutimes D/d 5 6",
		"lstat D/d\nchmod D/d/f 0600\nlstat D/d\nwrite D/d/f 0 x\nlstat D/d\nchmod D/d/e 0700\nlstat D/d\nlstat " +
			"D/d/e\nmark D/d\nunlink D/d/f\nchanged D/d\n" +
			"mark D/d\nrename D/d/e D/e\nchanged D/d\nmark D/e\nrename D/e D/d/e\nchanged D/e"}
	all["times of what is replaced"] = script{"create D/a 0644",
		"create D/b 0644\nlink D/b D/c\nmark D/c D/a\nrename D/a D/b\nchanged D/c\nlstat D/c\nlstat D/b"}
	for _, kind := range []string{"reg", "fifo", "sock", "link"} {
		lower := makers[kind] + "\nlink D/x D/y\nlink D/x D/z\ncreate D/other 0644"
		all["times of linked files of the lower "+kind] = script{lower,
			"mark D/y\nunlink D/x\nchanged D/y\nlstat D/y\nmark D/z\nrename D/other D/y\nchanged D/z\nlstat D/z"}
		all["names of linked files of the lower "+kind] = script{lower,
			"lstat D/x\nlstat D/y\nlstat D/z\nlchown D/x 5 6\nlstat D/y\nrename D/z D/w\nlstat D/x\nlstat " +
				"D/w\nunlink D/y\nlstat D/x"}
	}
	all["times of linked files"] = script{"create D/a 0644\nlink D/a D/b",
		"mark D/b\nchmod D/a 0600\nchanged D/b\nmark D/b\nunlink D/a\nchanged D/b\nlstat D/b"}
}

// addPermissions has users try what they may and may not do.
func addPermissions(all map[string]script) {
	users := []string{"@1000", "@1001:1000", "@1002:1002,1000", "@1003"}
	for _, mode := range []string{"0700", "0070", "0007", "0750", "0711", "0555", "01777", "02775", "0"} {
		text := "chown D/x 1000 1000\nchmod D/x " + mode + "\n"
		for _, user := range users {
			for _, call := range []string{"access D/x 4", "access D/x 2", "access D/x 1", "ls D/x", "stat D/x/f",
				"read D/x/f", "write D/x/f 0 d",
				"create D/x/new 0644", "unlink D/x/new", "rename D/x/f D/x/g", "rename D/x/g D/x/f", "chmod D/x/f 0600",
				"chown D/x 1000 1002",
				"link D/x/f D/x/h", "unlink D/x/h", "mkdir D/x/d 02755", "rmdir D/x/d", "setxattr D/x user.a b",
				"getxattr D/x user.a", "utimes D/x now now"} {
				text += user + " " + call + "\n"
			}
		}
		all["permissions dir "+mode] = script{"mkdir D/x 0755\ncreate D/x/f 0644", text}
	}
	for _, mode := range []string{"0600", "0060", "0006", "0640", "04755", "02755", "0444", "0"} {
		text := "chown D/x 1000 1000\nchmod D/x " + mode + "\n"
		for _, user := range users {
			for _, call := range []string{"read D/x", "write D/x 0 d", "open D/x rw", "open D/x w|trunc",
				"truncate D/x 1", "utimes D/x now now", "utimes D/x 1 1",
				"setxattr D/x user.a b", "rmxattr D/x user.a", "listxattr D/x", "chmod D/x " + mode,
				"chown D/x 1000 1000", "chown D/x -1 1002", "open D/x r|noatime", "lstat D/x"} {
				text += user + " " + call + "\n"
			}
		}
		all["permissions file "+mode] = script{"create D/x 0644", text}
	}
	all["sticky"] = script{"mkdir D/s 0755\nchmod D/s 01777\ncreate D/s/f 0666\ncreate D/s/mine 0666\nchown D/s/mine " +
		"1000 1000\nmkdir D/s/d 0777\ncreate D/own 0644\nchown D/own 1001 1001",
		"@1000 unlink D/s/f\n@1000 rename D/s/f D/s/g\n@1000 rename D/s/mine D/s/f\n@1001 rename D/own D/s/f\n@1000 " +
			"rmdir D/s/d\n@1001 unlink D/s/mine\n@1000 rename D/s/mine D/s/mine2\n" +
			"chown D/s 1003 1003\n@1003 rename D/s/f D/s/g\n@1001 rename D/s/mine2 D/s/g exchange\n@1003 unlink " +
			"D/s/g\n@1000 unlink D/s/mine2"}
	all["setgid directories"] = script{"mkdir D/g 0755\nchown D/g 0 1000\nchmod D/g 02777",
		"@1001 create D/g/f 0644\n@1001 mkdir D/g/d 0755\n@1001 symlink t D/g/l\n@1001 mknod D/g/p fifo 0644\n" +
			"lstat D/g/f\nlstat D/g/d\nlstat D/g/l\nlstat D/g/p\n@1001 create D/g/s 02755\nlstat D/g/s\n@1001 mkdir " +
			"D/g/d/e 0700\nlstat D/g/d/e\n@1001 tmpfile f D/g 02755\nfstat f\nclosefd f"}
	all["inherited ACLs"] = script{"mkdir D/a 0755\nsetacl D/a default u::7,u:1000:7,g::5,m::7,o::0",
		"umask 077\ncreate D/a/f 0666\nmkdir D/a/d 0777\nlstat D/a/f\nlstat D/a/d\ngetacl D/a/f access\n" +
			"getacl D/a/d default\n@1000 write D/a/f 0 x\nmknod D/a/p fifo 0666\nlstat D/a/p\nsymlink t D/a/l\nlstat " +
			"D/a/l\nchmod D/a/f 0600\ngetacl D/a/f access\n@1000 write D/a/f 0 y\numask 022"}
	for _, who := range []string{"@1000", "@1001"} {
		add(all, "suid "+who+" chown D/x -1 -1", "reg",
			"chown D/x 1000 1000\nchmod D/x 06755\n"+who+" chown D/x -1 -1\nlstat D/x")
	}
	for _, change := range []string{"write D/x 0 d", "truncate D/x 0", "truncate D/x 5", "chown D/x 1000 1000",
		"append D/x d"} {
		for _, mode := range []string{"04755", "02755", "06755", "04711", "06777"} {
			add(all, "suid "+mode+" "+change, "reg",
				"chown D/x 1000 1000\nchmod D/x "+mode+"\n@1000 "+change+"\nlstat D/x\nchmod D/x "+mode+
					"\nchmod D/x 06777\n@1001 "+change+"\nlstat D/x")
		}
	}
}

// addNames tries long, odd and impossible names.
func addNames(all map[string]script) {
	for _, call := range []string{"create D/%s 0644", "mkdir D/%s 0755", "symlink t D/%s", "lstat D/%s", "unlink D/%s",
		"rmdir D/%s", "rename D/x D/%s", "rename D/%s D/x", "link D/x D/%s",
		"chmod D/%s 0600", "truncate D/%s 1", "mknod D/%s fifo 0644", "open D/%s rw|creat 0644", "read D/%s",
		"readlink D/%s", "utimes D/%s 1 1", "setxattr D/%s user.a b", "access D/%s 0", "ls D/%s",
		"rename D/x D/%s exchange", "rename D/x D/%s noreplace", "chown D/%s 1 1"} {
		for _, name := range []string{"n*255", "n*256", "none/n", "x/n", "loop/n", "loop", "dangling", "x/", "dir/",
			"dir/.", "dir/..", "none/", "dangling/", "todir/", "todir/n", "tofile/", ".", "..", "\\", "a:b,c",
			"n*300/n"} {
			all["name "+name+" "+call] = script{"create D/x 0644\nsymlink loop D/loop\nsymlink nowhere " +
				"D/dangling\nmkdir D/dir 0755\nsymlink dir D/todir\nsymlink x D/tofile",
				strings.ReplaceAll(call, "%s", name) + "\nlstat D/x"}
		}
	}
	all["long link targets"] = script{"",
		"symlink t*4095 D/l\nlstat D/l\nsymlink t*4096 D/m\nsymlink t*1000 D/n\nreadlink D/n\nunlink D/l"}
	all["a name again and again"] = script{"create D/f 0644\nmkdir D/d 0755\ncreate D/d/x 0644",
		strings.Repeat("unlink D/f\ncreate D/f 0600\nunlink D/f\nmkdir D/f 0755\nrmdir D/f\nsymlink t D/f\nunlink "+
			"D/d/x\nrmdir D/d\nmkdir D/d 0711\ncreate D/d/x 0644\nls D/d\n", 3)}
}

// addErrors has calls meet what they cannot be applied to.
func addErrors(all map[string]script) {
	for _, call := range []string{"mkdir D/x 0755", "create D/x 0644", "symlink t D/x", "link D/other D/x",
		"mknod D/x fifo 0644", "open D/x r|creat|excl 0644", "open D/x rw", "open D/x r|dir", "open D/x r|nofollow",
		"open D/x r|path", "open D/x w|trunc|nonblock", "open D/x rw|creat|nonblock 0644", "truncate D/x 0",
		"unlink D/x", "rmdir D/x", "unlink D/x/", "rmdir D/x/", "ls D/x", "readlink D/x", "rename D/x D/other",
		"rename D/other D/x", "rename D/dir D/x", "rename D/x D/dir", "rename D/full D/x", "rename D/x D/full",
		"rename D/x D/x", "rename D/x D/x/y", "rename D/x D/none/y", "link D/x D/new", "link D/x D/x",
		"link D/none D/new",
		"setxattr D/x user.a b", "getxattr D/x user.a", "getxattr D/x user.a 0", "rmxattr D/x user.a",
		"setxattr D/x other.a b", "setxattr D/x user. b", "setxattr D/x user.a b replace", "setxattr D/x user.n*250 b",
		"setxattr D/x trusted.a b\ngetxattr D/x trusted.a\nlistxattr D/x\nchown D/x 5 5\ngetxattr D/x " +
			"trusted.a\nrmxattr D/x trusted.a",
		"setacl D/x default u::7,g::5,o::5", "setacl D/x access u::7,u:5:5,g::5,o::5", "bind D/x", "tmpfile f D/x 0600",
		"rename D/x D/dir exchange", "rename D/x D/other noreplace", "rename D/x D/new noreplace|exchange",
		"rename D/x D/dir/y exchange", "chmod D/x 0", "chown D/x 1 1", "utimes D/x 1 1", "access D/x 7",
		"truncate D/x -1", "listxattr D/x", "open D/x rw|append|nonblock", "open D/x r|direct|nonblock"} {
		for kind, maker := range makers {
			all["error "+call+" "+kind] = script{maker +
				"\ncreate D/other 0644\nmkdir D/dir 0755\nmkdir D/full 0755\ncreate D/full/y 0644",
				call + "\nlstat D/x\nlstat D/other\nls D/"}
			all["error upper "+call+" "+
				kind] = script{"create D/other 0644\nmkdir D/dir 0755\nmkdir D/full 0755\ncreate D/full/y 0644",
				maker + "\n" + call + "\nlstat D/x\nlstat D/other\nls D/"}
		}
	}
}

// addRenames renames everything to everything, in and out of merged directories, again and again.
func addRenames(all map[string]script) {
	const lower = "create D/lf 0644\nwrite D/lf 0 lower\nmkdir D/ld 0755\ncreate D/ld/a 0644\nmkdir D/le 0755\nmkdir " +
		"D/lm 0755\ncreate D/lm/low 0644\nsymlink lf D/ls\nlink D/lf D/lf2"
	const upper = "create D/uf 0600\nwrite D/uf 0 upper\nmkdir D/ud 0755\ncreate D/ud/b 0644\nmkdir D/ue " +
		"0755\ncreate D/lm/up 0644\nsymlink uf D/us\n"
	names := []string{"lf", "ld", "le", "lm", "ls", "uf", "ud", "ue", "us", "lf2", "none", "lm/low", "lm/new"}
	for _, from := range names {
		for _, to := range names {
			for _, flag := range []string{"0", "noreplace", "exchange"} {
				all["rename "+from+" "+to+" "+flag] = script{lower,
					upper + "rename D/" + from + " D/" + to + " " + flag + "\nls D/\nls D/" + to + "\nls D/" + from +
						"\nrename D/" + to + " D/back\nls D/back\nread D/back\n" +
						"mkdir D/" + to + " 0755\nls D/" + to + "\nrename D/back D/" + from + "\nls D/"}
			}
		}
	}
}

// addData changes data in all ways.
func addData(all map[string]script) {
	for _, change := range []string{"write D/x 0 new", "write D/x 100000 end", "append D/x more", "truncate D/x 0",
		"truncate D/x 5000", "truncate D/x 200000", "open D/x w|trunc",
		"openfd f D/x rw\nfallocate f 0 0 300000\nclosefd f",
		"openfd f D/x rw\nfallocate f punch|keep 4096 8192\nclosefd f",
		"openfd f D/x rw\nfallocate f zero 100 200\nclosefd f", "openfd f D/x rw\nfallocate f keep 0 300000\nclosefd f",
		"openfd f D/x rw\ncopy f 0 f 200000 5000\nclosefd f",
		"openfd f D/x r\nopenfd g D/y rw|creat 0644\ncopy f 0 g 10 70000\nclosefd f\nclosefd g",
		"openfd f D/x rw\nftruncate f 3\nfwrite f 8000 z\nclosefd f",
		"openfd f D/x r\nfwrite f 0 d\nftruncate f 0\nclosefd f"} {
		text := "write D/x 0 begin\nwrite D/x 65536 middle\n"
		all["data lower "+change] = script{"create D/x 0644\n" + text,
			"openfd r D/x r\n" + change +
				"\nread D/x\nfread r\nread D/y\nfstat r\nseek r 0 data\nseek r 0 hole\nclosefd r"}
		all["data upper "+change] = script{"", "create D/x 0644\n" + text + change + "\nread D/x\nread D/y"}
		all["data linked "+change] = script{"create D/x 0644\nlink D/x D/l\n" + text,
			change + "\nread D/x\nread D/l\nlstat D/l\nunlink D/x\nlstat D/l\nread D/l"}
		all["data after chmod "+change] = script{"create D/x 0644\n" + text,
			"chmod D/x 0600\nopenfd r D/x r\n" + change + "\nread D/x\nfread r\nclosefd r"}
	}
}

// addUnlinked goes on with files that have no name any more.
func addUnlinked(all map[string]script) {
	for _, gone := range []string{"unlink D/x", "rename D/y D/x", "unlink D/x\ncreate D/x 0600"} {
		for where, s := range map[string]script{"lower": {"create D/x 0644\nwrite D/x 0 data\ncreate D/y 0600", ""},
			"upper": {"", "create D/x 0644\nwrite D/x 0 data\ncreate D/y 0600\n"}} {
			s[1] += "openfd f D/x rw\n" + gone +
				"\nfstat f\nfread f\nfwrite f 2 new\nfread f\nfchmod f 0700\nfchown f 5 5\nfsetxattr f user.a " +
				"b\nftruncate f 3\nfstat f\nfallocate f 0 0 9000\nfstat f\nlinkfd f D/again\nfsync f\nclosefd f"
			all["unlinked "+where+" "+strings.ReplaceAll(gone, "\n", " ")] = s
		}
	}
	all["removed directory"] = script{"mkdir D/x 0755",
		"openfd f D/x r|dir\nrmdir D/x\nfstat f\nfls f\nfchmod f 0700\nfstat f\nmkdir D/x 0711\nfls f\nfstat " +
			"f\nclosefd f"}
	all["unnamed files"] = script{"mkdir D/x 0755",
		"tmpfile f D/x 0640\nfstat f\nfwrite f 0 data\nlinkfd f D/x/named\nfstat f\nlstat D/x/named\nread " +
			"D/x/named\nlinkfd f D/x/named\nunlink D/x/named\nlinkfd f D/x/twice\nclosefd f\n" +
			"tmpfile g D/x 0600 excl\nlinkfd g D/x/no\nclosefd g\nls D/x"}
}
