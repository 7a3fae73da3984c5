package tests

import "testing"

// TestFindThatMakesFiles has busybox' find, which looks for more entries after each that it has found, make a file for
// each: it comes to its end.
func TestFindThatMakesFiles(t *testing.T) {
	u := newUserWithImage(t)
	got := u.run("run", "--rm", "--network", "none", "bb", "sh", "-euc", `
		mkdir /d; cd /d
		i=0; while [ $i -lt 3000 ]; do : >$i; i=$((i+1)); done
		find . -type f -exec cp {} {}.bak \;
		ls | wc -l; ls | grep -c 'bak$'; ls | grep -c 'bak.bak' || true`)
	if got != "6000\n3000\n0" {
		t.Errorf("files, copies, and copies of copies: %q", got)
	}
}

// deepDirectories makes directories below one another until that is refused, says how many there are, and leaves a file
// in the deepest that may have one.
const deepDirectories = `
	p=a; for i in 1 2 3 4 5 6 7 8 9; do p=$p/$p; done
	cd /; i=0
	while mkdir -p $p; do cd -P $p; i=$((i+512)); done
	echo $i; cd -P ..; echo deep >file; cat file`

// TestDeepDirectories has a container make directories as deep as it can, after which all that reads or removes them
// works, and its image can be used.
func TestDeepDirectories(t *testing.T) {
	u := newUserWithImage(t)
	r := u.try("run", "--name", "deep", "--network", "none", "bb", "sh", "-uc", deepDirectories)
	if r.code != 0 || r.stdout != "4096\ndeep\n" {
		t.Errorf("exit code %d, and %q", r.code, r.stdout)
	}
	contains(t, r.stderr, "File name too long")
	if again := u.run("start", "-a", "deep"); again != "4096\ndeep" {
		t.Errorf("the second time: %q", again)
	}
	contains(t, u.run("diff", "deep"), "A /a\n", "a/a/file")
	u.run("system", "df")
	u.run("system", "df", "-v")
	if r := u.try("commit", "deep", "deep"); r.code != 0 {
		t.Errorf("commit: %d, %.300s", r.code, r.stderr)
	}
	u.run("rm", "deep")
	u.prints("deep", "run", "--rm", "--network", "none", "deep", "sh", "-uc", `
		p=a; for i in 1 2 3 4 5 6 7 8 9; do p=$p/$p; done
		cd /; for i in 1 2 3 4 5 6 7 8; do cd -P $p; done; cat ../file`)
	u.run("rmi", "deep")
	u.noLeftovers()
}
