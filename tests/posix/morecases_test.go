package posix

import (
	"fmt"
	"strings"
)

// addSticky has several users remove and replace each other's entries of sticky directories.
func addSticky(all map[string]script) {
	const lower = "mkdir D/s 0755\nchown D/s 1003 1003\nchmod D/s 01777\ncreate D/s/f 0666\nchown D/s/f 1000 " +
		"1000\nmkdir D/s/d 0777\nchown D/s/d 1000 1000\nmkdir D/out 0777\nchmod D/out 0777"
	for _, call := range []string{"unlink D/s/f", "rmdir D/s/d", "rename D/s/f D/s/g", "rename D/s/d D/out/d",
		"rename D/s/f D/out/f", "rename D/out/mine D/s/f", "rename D/out/dir D/s/d",
		"rename D/out/mine D/s/f exchange", "rename D/s/f D/out/mine exchange", "link D/s/f D/out/l",
		"rename D/s/mine D/s/f"} {
		for _, user := range []string{"@1000", "@1001", "@1003", ""} {
			all["sticky "+user+" "+call] = script{lower,
				user + " create D/out/mine 0644\n" + user + " mkdir D/out/dir 0755\n" + user +
					" create D/s/mine 0644\n" + user + " " + call + "\nls D/s\nls D/out"}
		}
	}
}

// addLongPaths uses paths about as long as the kernel takes them.
func addLongPaths(all map[string]script) {
	for length := 4060; length < 4100; length += 4 {
		path := "D/" + strings.Repeat("./", length/2) + "x"
		text := ""
		for _, call := range []string{"create %s 0644", "lstat %s", "chmod %s 0600", "link %s D/y", "rename %s D/z",
			"rename D/z %s", "symlink t %s", "unlink %s", "mkdir %s 0755", "rmdir %s", "mknod %s fifo 0600",
			"truncate %s 0"} {
			text += strings.ReplaceAll(call, "%s", path) + "\n"
		}
		all[fmt.Sprintf("a path of %d bytes", length)] = script{"", text}
	}
	deep := "D"
	text := ""
	for range 17 {
		deep += "/" + strings.Repeat("d", 250)
		text += "mkdir " + deep + " 0755\n"
	}
	all["directories too deep to be named"] = script{text, text + "create " + deep + "/f 0644"}
	chain := "create D/l0 0644\n"
	for i := 1; i <= 45; i++ {
		chain += fmt.Sprintf("symlink l%d D/l%d\n", i-1, i)
	}
	all["chains of links"] = script{chain,
		"stat D/l39\nstat D/l40\nstat D/l41\nopen D/l40 rw\nopen D/l41 rw\nchmod D/l41 0600\nopen D/l1 " +
			"rw|nofollow\nopen D/l1 r|path|nofollow"}
}

// addClocks sets times that are early, late, exact or somebody else's.
func addClocks(all map[string]script) {
	for _, times := range []string{"0 0 0 0", "1 1 1 999999999", "-1 0 -1 999999999", "-2147483648 0 -2147483648 1",
		"2147483647 999999999 2147483648 0", "4294967296 5 4294967295 6", "7000000000 1 8000000000 2",
		"15032385535 0 15032385535 0", "0 1000000000 0 0", "0 -1 0 0"} {
		add(all, "times set "+times, "reg dir link fifo",
			"utimens D/x "+times+"\nclocks D/x\nchmod D/ 0777\nclocks D/x")
		all["times of lower "+times] = script{"create D/x 0644\nutimens D/x " + times +
			"\nsymlink t D/l\nutimens D/l " + times,
			"clocks D/x\nchmod D/x 0600\nclocks D/x\nlink D/x D/y\nclocks D/y\nclocks D/l\nrename D/l D/m\nclocks D/m"}
	}
	for _, mode := range []string{"0600", "0666", "0622", "0644"} {
		text := "chown D/x 1000 1000\nchmod D/x " + mode + "\n"
		for _, user := range []string{"", "@1000", "@1001", "@1002:1000"} {
			for _, times := range []string{"now now", "omit omit", "now omit", "omit now", "5 omit", "omit 5", "5 6",
				"now 5"} {
				text += user + " utimes D/x " + times + "\nclocks D/y\n"
			}
		}
		all["times set by others, "+mode] = script{"create D/x 0644\ncreate D/y 0644\nutimens D/y 1 2 3 4", text}
	}
}

// addOpening opens files of all types in all ways, and does to them what the way does not allow.
func addOpening(all map[string]script) {
	for _, how := range []string{"r", "w", "rw", "r|creat", "rw|creat|excl", "w|trunc", "r|trunc", "w|append",
		"w|append|trunc", "r|dir", "rw|dir", "r|creat|dir", "r|nofollow", "rw|creat|nofollow", "r|path",
		"r|path|nofollow",
		"r|path|dir", "rw|direct", "r|noatime", "rw|creat|excl|dir"} {
		for kind, maker := range makers {
			if kind == "fifo" && (how == "w" || strings.HasPrefix(how, "w|")) {
				continue // nobody reads: ENXIO, and with a reader in the way it is the kernel's pipe
			}
			text := "openfd f D/x " + how +
				" 0640\nfstat f\nfread f\nfwrite f 0 data\nfappend f more\nftruncate f 2\nfchmod f 0711\nfchown f 5 " +
				"5\nfsetxattr f user.a b\nfgetxattr f user.a\nfsync f\nfls f\nfstat f\nprocfd f\nclosefd f\nlstat D/x"
			all["opened "+how+" lower "+kind] = script{maker, text}
			all["opened "+how+" upper "+kind] = script{"", maker + "\n" + text}
		}
		all["opened "+how+" none"] = script{"",
			"openfd f D/x " + how + " 0640\nfstat f\nfwrite f 0 data\nclosefd f\nls D/"}
	}
	all["renamed over open files"] = script{"create D/a 0644\nwrite D/a 0 one\ncreate D/b 0644\nwrite D/b 0 two",
		"openfd f D/b rw\nopenfd g D/a rw\nrename D/a D/b\nfread f\nfread g\nfappend f x\nfappend g y\nread " +
			"D/b\nfstat f\nprocfd f\nprocfd g\n" +
			"linkfd f D/again\nlinkfd g D/more\nlstat D/b\nunlink D/b\nprocfd g\nfread g\nclosefd f\nclosefd g"}
	all["open directories"] = script{"mkdir D/d 0755\ncreate D/d/f 0644",
		"openfd d D/d r|dir\nprocfd d\nrename D/d D/e\nprocfd d\nfls d\ncreate D/e/g 0644\nfls d\nunlink " +
			"D/e/f\nunlink D/e/g\nrmdir D/e\nprocfd d\nfls d\nfstat d\nclosefd d"}
	all["unnamed files of others"] = script{"mkdir D/d 0755\nchmod D/d 0777",
		"@1000 tmpfile f D/d 0666\nfstat f\nfwrite f 0 data\nlinkfd f D/d/f\nlstat D/d/f\nlinkfd f D/d/f\nlinkfd f " +
			"D/d/g\nlstat D/d/g\nunlink D/d/f\nunlink D/d/g\nfstat f\nclosefd f\n" +
			"@1001 tmpfile f D/none 0600\n@1001 tmpfile f D/d/f 0600\nchmod D/d 0755\n@1001 tmpfile f D/d 0600"}
}

// addPrivileges has changes drop what goes with a file's privileges, or not.
func addPrivileges(all map[string]script) {
	const caps = "setxattr D/x security.capability " +
		"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00 0\n"
	for _, call := range []string{"write D/x 0 d", "append D/x d", "truncate D/x 0", "truncate D/x 1",
		"chown D/x 1000 1000", "chown D/x 5 5", "chown D/x -1 -1", "chown D/x -1 5", "chmod D/x 0755",
		"chmod D/x 06755",
		"openfd f D/x rw\nfallocate f 0 0 100\nclosefd f", "openfd f D/x rw\nfallocate f punch|keep 0 10\nclosefd f",
		"open D/x w|trunc", "setxattr D/x user.a b", "link D/x D/y", "rename D/x D/y", "utimes D/x 5 5",
		"openfd f D/x rw\nmmap m f 4096 w\nmwrite m 0 d\nmunmap m\nclosefd f",
		"create D/o 0666\nwrite D/o 0 other\nopenfd g D/o r\nopenfd f D/x rw\ncopy g 0 f 0 3\nclosefd f\nclosefd g",
		"openfd g D/x r\nopenfd f D/x rw\nsplice g f 1\nclosefd f\nclosefd g"} {
		for _, user := range []string{"", "@1000", "@1001:1000"} {
			// Lines that open, write and close by a user are each the user's.
			text := "chown D/x 1000 1000\nchmod D/x 06777\n" + caps + user + " " + strings.ReplaceAll(call, "\n",
				"\n"+user+" ") + "\nlstat D/x\nlstat D/y\ngetxattr D/x security.capability"
			all["privileges "+user+" "+call+" lower"] = script{"create D/x 0644\nwrite D/x 0 content", text}
			all["privileges "+user+" "+call+
				" copied"] = script{"create D/x 0644\nwrite D/x 0 content\nchown D/x 1000 1000\nchmod D/x 06777\n" +
				caps, user + " " + strings.ReplaceAll(call, "\n", "\n"+user+" ") +
				"\nlstat D/x\nlstat D/y\ngetxattr D/x security.capability"}
		}
	}
	for _, mode := range []string{"02755", "02644", "02070", "06777"} {
		add(all, "setgid by others "+mode, "reg dir",
			"chown D/x 1000 1001\n@1000 chmod D/x "+mode+"\nlstat D/x\n@1000:1000,1001 chmod D/x "+mode+
				"\nlstat D/x\n@1000 chown D/x -1 1000\nlstat D/x\nchown D/x 1000 1002\nlstat D/x")
	}
	for kind, maker := range makers {
		text := ""
		for _, name := range []string{"user.a", "trusted.a", "security.a", "system.a", "user.overlay.opaque",
			"trusted.overlay.opaque", "user.rcrun.origin", "user.containers.override_stat", "security.capability",
			"system.posix_acl_access"} {
			if strings.Contains(name, "overlay") || strings.Contains(name, "rcrun") ||
				strings.Contains(name, "containers") {
				continue // theirs are the layers' own
			}
			text += "setxattr D/x " + name + " v new\n@1000 setxattr D/x " + name + " w 0\ngetxattr D/x " + name +
				"\nsetxattr D/x " + name + " x new\nsetxattr D/x " + name + " y replace\n@1000 getxattr D/x " + name +
				"\n"
			text += "@1000 listxattr D/x\nlistxattr D/x\nrmxattr D/x " + name + "\nrmxattr D/x " + name + "\n"
		}
		all["xattrs lower "+kind] = script{maker, text}
		all["xattrs upper "+kind] = script{"", maker + "\n" + text}
	}
	all["xattrs of all lengths"] = script{"create D/x 0644\nsetxattr D/x user.low v*100",
		"setxattr D/x user.a v*0\ngetxattr D/x user.a\nsetxattr D/x user.b v*1000\ngetxattr D/x user.b 10\ngetxattr " +
			"D/x user.b 1000\nsetxattr D/x user.c v*3000\nsetxattr D/x user.d v*70000\n" +
			"setxattr D/x n*256 v\nsetxattr D/x user.n*255 v\ngetxattr D/x user.low 0\nlistxattr D/x"}
}

// addLocks locks files through several descriptors, across a copy-up.
func addLocks(all map[string]script) {
	const change = "chmod D/x 0600\nwrite D/x 0 new\n"
	for where, made := range map[string]script{"lower": {"create D/x 0644", ""}, "upper": {"", "create D/x 0644\n"}} {
		made[1] += "openfd f D/x rw\nopenfd g D/x rw\n"
		flock, ranges := made, made
		flock[1] += "flock f exclusive|try\nflock g shared|try\n" + change +
			"openfd h D/x r\nflock h shared|try\nflock f shared|try\nflock h shared|try\nflock g " +
			"exclusive|try\nclosefd f\nclosefd h\nflock g exclusive|try\nclosefd g"
		ranges[1] += "ofdlock f exclusive 0 10\nofdlock g exclusive 5 10\nofdlock g exclusive 10 10\n" + change +
			"openfd h D/x rw\nofdlock h shared 0 1\nofdlock f unlock 0 5\nofdlock h shared 0 1\nlock h exclusive 0 " +
			"1\nlock g exclusive 20 0\nofdlock f exclusive 30 1\n" +
			"unlink D/x\nofdlock f shared 12 1\nclosefd f\nclosefd g\nclosefd h"
		all["whole files are locked "+where], all["ranges are locked "+where] = flock, ranges
	}
	all["locks of read-only files"] = script{"create D/x 0644",
		"openfd f D/x r\nofdlock f exclusive 0 1\nofdlock f shared 0 1\nflock f exclusive|try\nclosefd f\nopenfd f " +
			"D/x r|path\nflock f shared|try\nofdlock f shared 0 1\nclosefd f"}
}

// addMappings reads and writes through mappings and calls by turns.
func addMappings(all map[string]script) {
	for where, made := range map[string]script{"lower": {"create D/x 0644\nwrite D/x 0 content\ntruncate D/x 9000", ""},
		"upper": {"", "create D/x 0644\nwrite D/x 0 content\ntruncate D/x 9000\n"},
		"chmod": {"create D/x 0644\nwrite D/x 0 content\ntruncate D/x 9000", "chmod D/x 0600\n"}} {
		s, private, gone, early := made, made, made, made
		s[1] += "openfd f D/x rw\nmmap m f 9000 w\nmread m 0 7\nmwrite m 1 new\nread D/x\nwrite D/x 2 call\nmread m " +
			"0 7\nmwrite m 5000 far\nfsync f\nopenfd g D/x r\nmmap n g 9000 r\nmread n 5000 4\nmwrite m 5001 " +
			"f\nmread n 5000 4\nread D/x\nclosefd f\nmwrite m 8 again\nmunmap m\nread D/x\nmunmap n\nclosefd g"
		private[1] += "openfd f D/x r\nmmap m f 9000 private\nmwrite m 0 mine\nread D/x\nwrite D/x 0 yours\nmread m " +
			"0 7\nmmap n f 9000 w\nclosefd f\nmunmap m\nread D/x"
		gone[1] += "openfd f D/x rw\nmmap m f 9000 w\nclosefd f\nunlink D/x\nmread m 0 7\nmwrite m 0 still\nmread m " +
			"0 7\nmunmap m"
		early[1] += "openfd r D/x r\nmmap m r 9000 r\nmread m 0 7\nwrite D/x 0 later\nmread m 0 7\nfread r\nappend " +
			"D/x more\nfstat r\nopenfd w D/x rw|trunc\nfstat r\nfwrite w 0 fresh\nftruncate w 9000\nmread m 0 " +
			"7\nmunmap m\nclosefd r\nclosefd w\nread D/x"
		all["mapped "+where], all["mapped privately "+where], all["mapped and unlinked "+where],
			all["mapped before it changed "+where] = s, private, gone, early
	}
}

// addTransfers moves data between files in all ways there are, and within one.
func addTransfers(all map[string]script) {
	const lower = "create D/a 0644\nwrite D/a 0 begin\nwrite D/a 70000 end\ncreate D/b 0644\nwrite D/b 0 other"
	for _, how := range []string{"copy f 0 g 0 70003", "copy f 0 g 3 70003", "copy f 70000 g 0 100",
		"copy f 80000 g 0 1", "copy f 0 g 100000 10", "copy f 0 f 2 5", "copy f 0 f 5 5", "copy f 0 f 0 5",
		"copy f 0 f 100000 70000", "copy g 0 f 70000 100",
		"sendfile f g 100000", "sendfile g f 3", "splice f g 60000", "splice g f 4", "vmsplice g memory", "clone f g",
		"clone f f", "copy f 0 r 0 1", "copy w 0 g 0 1", "copy f 0 w 0 5", "copy f 0 d 0 5", "copy d 0 f 0 5",
		"copy p 0 g 0 1", "copy -1 0 g 0 1"} {
		text := "openfd f D/a rw\nopenfd g D/b rw\nopenfd r D/b r\nopenfd w D/b w|append\nopenfd d D/ r|dir\nopenfd " +
			"p D/a r|path\n" + how + "\nfread f\nfread g\nfstat f\nfstat g\nseek g 0 hole\nclosefd f\nclosefd " +
			"g\nclosefd r\nclosefd w\nclosefd d\nclosefd p\nread D/a\nread D/b"
		all["transfer "+how+" lower"] = script{lower, text}
		all["transfer "+how+" upper"] = script{"", lower + "\n" + text}
		all["transfer "+how+" mixed"] = script{lower, "append D/b more\nchmod D/a 0600\n" + text}
	}
	for _, mode := range []string{"0", "keep", "punch", "punch|keep", "zero", "zero|keep", "collapse", "insert",
		"collapse|keep", "0x400"} {
		for _, at := range []string{"0 4096", "4096 4096", "100 5000", "60000 40000", "0 0", "-1 5", "5 -1",
			"4096 200000", "9223372036854775807 1"} {
			all["fallocate "+mode+" "+at] = script{lower,
				"openfd f D/a rw\nfallocate f " + mode + " " + at +
					"\nfstat f\nfread f\nclosefd f\nopenfd f D/b r\nfallocate f " + mode + " " + at +
					"\nclosefd f\nopenfd f D/ r|dir\nfallocate f " + mode + " " + at + "\nclosefd f"}
		}
	}
	const holes = "create D/h 0644\ntruncate D/h 1000000\nwrite D/h 262144 one\nwrite D/h 524288 two"
	seeks := "openfd f D/h r\n"
	for _, at := range []string{"0", "1", "262143", "262144", "262147", "300000", "524288", "528384", "999999",
		"1000000", "1000001", "-1"} {
		seeks += "seek f " + at + " data\nseek f " + at + " hole\n"
	}
	all["holes of lower files"] = script{holes, seeks + "closefd f"}
	all["holes of copies"] = script{holes, "write D/h 262146 e\n" + seeks + "closefd f"}
	all["holes of copies without data"] = script{holes, "chmod D/h 0600\n" + seeks + "closefd f"}
	all["statfs"] = script{"create D/a 0644",
		"statfs D/\nstatfs D/a\nstatfs D/none\nhandle D/a\nhandle D/\nhandle D/none\nopenfd f D/ r|dir\nsyncfs " +
			"f\nfsync f\nclosefd f"}
}

// addFileFlags uses the flags of chattr(1).
func addFileFlags(all map[string]script) {
	// no dump, no atime, immutable, append only, synchronous
	for _, flag := range []string{"0x40", "0x80", "0x10", "0x20", "0x8"} {
		for where, made := range map[string]script{"lower": {"create D/x 0644\nmkdir D/d 0755\ncreate D/d/f 0644", ""},
			"upper": {"", "create D/x 0644\nmkdir D/d 0755\ncreate D/d/f 0644\n"}} {
			for _, what := range []string{"x", "d"} {
				s := made
				s[1] += "openfd f D/" + what + " r\ngetflags f\n@1000 setflags f " + flag + "\nsetflags f " + flag +
					"\ngetflags f\nwrite D/x 0 d\nappend D/x d\nchmod D/x 0600\nchown D/x 5 5\nutimes D/x 5 " +
					"5\nsetxattr D/x user.a b\nlink D/x D/l\ntruncate D/x 0\n" +
					"rename D/x D/y\nrename D/y D/x\nunlink D/x\ncreate D/d/g 0644\nunlink D/d/f\nrename D/d " +
					"D/e\nrename D/e D/d\nsetflags f 0\ngetflags f\nclosefd f\nwrite D/x 0 d\ncreate D/d/h 0644"
				all["flags "+flag+" of "+what+" "+where] = s
			}
		}
	}
}

// addRunning runs programs that are being written, or were just now.
func addRunning(all map[string]script) {
	const program = "create D/p 0755\nwrite D/p 0 #!/bin/true\n"
	all["a program that was just written"] = script{"",
		program + "exec D/p\nopenfd f D/p rw\nexec D/p\nclosefd f\nexec D/p\nchmod D/p 0644\nexec D/p\nchmod D/p " +
			"0755\nexec D/p\nrename D/p D/q\nexec D/q\nexec D/p"}
	all["a program of the lower"] = script{program,
		"exec D/p\nappend D/p \\\nexec D/p\nopenfd f D/p w|append\nexec D/p\nunlink D/p\nexec D/p\nclosefd f"}
	all["a program without its name"] = script{program,
		"openfd f D/p r\nlink D/p D/q\nunlink D/p\nexec D/q\nchmod D/q 0\nexec D/q\nclosefd f"}
}

// addLayers goes through three layers.
func addLayers(all map[string]script) {
	things := map[string]string{"file": "create D/x 0644\nwrite D/x 0 file",
		"dir": "mkdir D/x 0755\ncreate D/x/f 0644\nmkdir D/x/s 0700", "link": "symlink t D/x",
		"fifo": "mknod D/x fifo 0640", "none": "lstat D/x"}
	remove := "unlink D/x\nunlink D/x/f\nunlink D/x/g\nrmdir D/x/s\nrmdir D/x\n"
	for a, first := range things {
		for b, second := range things {
			for c, third := range things {
				all["layers "+a+" "+b+" "+c] = script{first, remove + second,
					"ls D/x\n" + remove + "ls D/\n" + third +
						"\ncreate D/x/g 0644\nls D/x\nlstat D/x\nread D/x\nrename D/x D/y\nls D/\nls D/y\nrename D/y " +
						"D/x"}
			}
		}
	}
	const tree = "mkdir D/p 0755\nmkdir D/p/d 0755\ncreate D/p/d/f 0644\nwrite D/p/d/f 0 one\nmkdir D/q 0755\ncreate " +
		"D/q/f 0644\nmkdir D/p/d/e 0755\ncreate D/p/d/e/g 0644"
	middles := map[string]string{"nothing": "", "merged": "create D/p/d/new 0644",
		"opaque": "unlink D/p/d/f\nunlink D/p/d/e/g\nrmdir D/p/d/e\nrmdir D/p/d\nmkdir D/p/d 0711\ncreate " +
			"D/p/d/h 0644",
		"moved":        "rename D/p/d D/q/d\ncreate D/q/d/late 0644",
		"parent moved": "rename D/p D/r\nmkdir D/p 0755\nrename D/r/d D/p/d",
		"deleted":      "unlink D/p/d/f\nunlink D/p/d/e/g", "exchanged": "rename D/p D/q exchange"}
	lasts := map[string]string{"there": "rename D/p/d D/q/e\nls D/q/e\nls D/p\nls D/q/e/e",
		"there and back": "rename D/p/d D/q/e\nrename D/q/e D/p/d\nls D/p/d\nls D/p/d/e\nread D/p/d/f",
		"below":          "rename D/q D/p/d/q\nls D/p/d/q\nls D/p/d",
		"replaced": "mkdir D/n 0755\nrename D/n D/p/d\nunlink D/p/d/f\nunlink D/p/d/e/g\nrmdir D/p/d/e\nrename " +
			"D/n D/p/d\nls D/p/d", "parents exchanged": "rename D/p D/q exchange\nls D/p\nls D/q\nls D/q/d\nls " +
			"D/q/d/e\ncreate D/q/d/x 0644\nls D/q/d",
		"inside out":    "rename D/p/d/e D/e\nrename D/p/d D/e/d\nls D/e/d\nls D/e\nls D/p\nread D/e/d/f",
		"changed below": "append D/p/d/f two\nchmod D/p/d/e 0700\nrename D/p D/z\nread D/z/d/f\nmkdir D/p 0755\nls D/p"}
	for middle, second := range middles {
		for last, third := range lasts {
			all["directories "+middle+", "+last] = script{tree, second, third}
		}
	}
	const linked = "create D/a 0644\nwrite D/a 0 one\nlink D/a D/b\nlink D/a D/c\nmkdir D/d 0755"
	for i, second := range []string{"", "append D/a two", "chmod D/b 0600", "unlink D/a", "link D/c D/d/e",
		"rename D/a D/d/a", "unlink D/a\nunlink D/b", "create D/n 0644\nrename D/n D/a"} {
		all[fmt.Sprintf("links across layers %d", i)] = script{linked, second + "\nlstat D/a\nlstat D/b\nlstat D/c"}
	}
}
