package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// newUnionUser returns a user who has the program that is called like fuse-overlayfs, too, as $OURS.
func newUnionUser(t *testing.T) *user {
	u := newUserBeside(t, hostMounts.RLocker())
	u.asOverlay()
	return u
}

// asOverlay gives the user the program that is called like fuse-overlayfs, as $OURS.
func (u *user) asOverlay() {
	u.t.Helper()
	if err := os.Link(overlayBinary, u.path("fuse-rcrun")); err != nil {
		u.t.Fatal(err)
	}
	u.setenv("OURS", u.path("fuse-rcrun"))
}

// inHome runs a shell script in the user's home, which must succeed, and returns what it prints.
func (u *user) inHome(text string) string {
	u.t.Helper()
	return u.succeeded(u.finish(u.command("sh", "-euc", text)))
}

// asRoot is inHome as root of a user namespace that has all of the user's ids, with mounts of its own.
func (u *user) asRoot(text string) string {
	u.t.Helper()
	return u.succeeded(u.finish(u.command("unshare", "--user", "--map-root-user", "--map-auto", "--mount", "sh", "-euc",
		text)))
}

const makeLayers = `
	mkdir lower upper work mnt
	echo low > lower/file; echo gone > lower/gone; mkdir lower/dir; echo x > lower/dir/x; echo run > lower/exec; echo move > lower/move
`

func TestUnionOfUser(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	u.run("union", "mount", "-o", "lowerdir=lower,upperdir=upper,workdir=work", "mnt")
	got := u.inHome(`
		grep -o " $PWD/mnt .* fuse.rcrun rcrun" /proc/self/mountinfo | wc -l
		echo more >> mnt/file; chmod 400 mnt/file; rm mnt/gone; rm -r mnt/dir; mkdir mnt/dir
		cat mnt/file; ls mnt mnt/dir; stat -c %u:%a mnt/file upper/file; cat lower/gone lower/file`)
	want := strings.NewReplacer("UID",
		strconv.Itoa(syscall.Getuid())).Replace(
		"1\nlow\nmore\nmnt:\ndir\nexec\nfile\nmove\n\nmnt/dir:\nUID:400\nUID:400\ngone\nlow")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var stats struct {
		Requests, Bytes map[string]uint64
		CopyUps         uint64
	}
	if err := json.Unmarshal([]byte(u.run("union", "stats", "--format", "json", "mnt")), &stats); err != nil {
		t.Fatal(err)
	}
	if stats.Requests["write"] != 1 || stats.Bytes["write"] != 5 || stats.CopyUps == 0 {
		t.Errorf("counters: %+v", stats)
	}
	contains(t, u.run("union", "stats", "mnt"), "COUNTER", "setattr", "copy-ups")
	u.fails(125, []string{"not the root"}, "union", "stats", ".")
	u.inHome("ln -s mnt alias")
	u.run("union", "unmount", "alias")
	u.fails(125, []string{"unmount", "mnt"}, "union", "unmount", "mnt")
	u.noLeftovers()
}

func TestUnionInForeground(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := u.command(u.path("fuse-rcrun"), "-f", "-o", "lowerdir=lower", "mnt")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "mount", func() bool { return u.inHome("cat mnt/file 2>/dev/null || true") == "low" })
		if r := u.finish(u.command("touch", "mnt/file")); r.code == 0 {
			t.Error("a union without an upper can be written")
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", signal, err)
		}
	}
}

// TestUnionServerEnds asks the server to end, and kills it.
func TestUnionServerEnds(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	mounted := func() bool { return u.inHome(`grep -c " $PWD/mnt " /proc/self/mountinfo || true`) == "1" }
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		u.run("union", "mount", "-o", "lowerdir=lower", "mnt")
		if !mounted() {
			t.Fatal("it is not mounted")
		}
		for _, server := range u.processes("rcrun-fuse") {
			if err := syscall.Kill(server.pid, signal); err != nil {
				t.Fatal(err)
			}
		}
		if signal == syscall.SIGKILL {
			u.run("union", "unmount", "mnt")
		}
		eventually(t, "unmount", func() bool { return !mounted() })
	}
}

// TestUnionUnmountWaits wants the server to have ended when an unmount returns, although it is slow to write down what
// its upper takes, so that what was below it is free; a union in use is not waited for.
func TestUnionUnmountWaits(t *testing.T) {
	u := newUnionUser(t)
	u.mountBare(u.path("home/bare"))
	u.inHome(`mkdir bare/lower bare/upper bare/work mnt; echo low > bare/lower/file`)
	mount := func() process {
		u.run("union", "mount", "-o", fmt.Sprintf("size=1G,ownership=caller,squash_to_uid=%d,squash_to_gid=%d,",
			os.Getuid(), os.Getgid())+
			"lowerdir=bare/lower,upperdir=bare/upper,workdir=bare/work", "mnt")
		return u.serverOf("home/mnt")
	}
	server := mount()
	used, err := os.Open(u.path("home/mnt/file"))
	if err != nil {
		t.Fatal(err)
	}
	u.run("union", "unmount", "mnt")
	if server.gone() {
		t.Error("after the unmount, the server of a file in use is gone")
	}
	used.Close()
	eventually(t, "the server of a file in use no more ends", server.gone)
	server = mount()
	u.run("union", "unmount", "mnt")
	if !server.gone() {
		t.Error("after the unmount, the server is there")
	}
}

func TestUnionRefusals(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	for options, complaint := range map[string]string{
		"lowerdir=none":                   "none",
		"upperdir=upper":                  "work directory",
		"rw":                              "lowerdir",
		"lowerdir=lower,uidmapping=1":     "triples",
		"lowerdir=lower,ownership=nobody": "nobody",
		"lowerdir=lower,upperdir=upper,workdir=no": "no",
	} {
		u.fails(125, []string{complaint}, "union", "mount", "-o", options, "mnt")
	}
	u.fails(125, []string{"nowhere"}, "union", "mount", "-o", "lowerdir=lower", "nowhere")
}

// TestUnionIsReadyWhenMounted has a caller read right after the command, and wait for the end of its output.
func TestUnionIsReadyWhenMounted(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	got := u.asRoot(`out=$($OURS -o lowerdir=lower,upperdir=upper,workdir=work,lazytime,unheard_of SOURCE mnt 2>&1); cat mnt/file
		grep " $PWD/mnt " /proc/self/mountinfo | grep -o " fuse.fuse-rcrun SOURCE"; umount mnt
		$OURS -o lowerdir=lower mnt; grep " $PWD/mnt " /proc/self/mountinfo | grep -o " fuse.fuse-rcrun fuse-rcrun"; umount mnt
		$OURS -o lowerdir=lower,fsname=name SOURCE mnt; grep " $PWD/mnt " /proc/self/mountinfo | grep -o " ro,.* fuse.fuse-rcrun name" | wc -l; umount mnt`)
	if want := "low\n fuse.fuse-rcrun SOURCE\n fuse.fuse-rcrun fuse-rcrun\n1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUnionIsRemounted changes flags of a mount as mount(8) has it done, which repeats the options of the first time:
// there must not be another mount over it.
func TestUnionIsRemounted(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	got := u.asRoot(`layers=lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work; $OURS -o $layers SOURCE mnt
		flags() { sed -n "s:.* $PWD/mnt \\([^ ]*\\) .*- [^ ]* SOURCE \\(r[ow]\\),.*:\\1 \\2:p" /proc/self/mountinfo; }
		$OURS SOURCE $PWD/mnt -o rw,$layers,noatime,user_id=0,remount,ro,nosuid; flags; (echo x >mnt/new) 2>/dev/null || echo refused
		$OURS SOURCE $PWD/mnt -o remount,rw; flags; echo x >mnt/new; cat upper/new
		umount mnt; $OURS -o remount,ro mnt 2>&1 | sed "s: [^ ]*/mnt: mnt:"`)
	want := "ro,nosuid,noatime ro\nrefused\nrw,noatime rw\nx\nfuse-rcrun: remount mnt: invalid argument"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUnionThroughMount lets mount(8) find the program, which gives it a PATH of its own. That what is in fstab is
// mounted once, however often it is asked for, mount(8) tells by the source.
func TestUnionThroughMount(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers)
	got := u.asRoot(`mount -t tmpfs none /usr/local/bin; ln -s $OURS /usr/local/bin/fuse-rcrun
		mount -t fuse.fuse-rcrun -o rw,dev,suid,lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work SOURCE mnt
		cat mnt/file; rm mnt/file; umount mnt; ls -l upper/file | cut -c 1
		echo "layers $PWD/mnt fuse.fuse-rcrun lowerdir=$PWD/lower 0 0" >fstab
		mount -a -T fstab; mount -a -T fstab; grep -c " $PWD/mnt " /proc/self/mountinfo; findmnt -n -o SOURCE,FSTYPE mnt; umount mnt`)
	if want := "low\nc\n1\nlayers fuse.fuse-rcrun"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// overlays are the filesystems that can be mounted by users and share layers.
var overlays = map[string]string{
	"ours":   `$OURS -o lowerdir=$lower,upperdir=$upper,workdir=work mnt`,
	"fuse":   `fuse-overlayfs -o lowerdir=$lower,upperdir=$upper,workdir=work mnt`,
	"kernel": `mount -t overlay -o userxattr,lowerdir=$lower,upperdir=$upper,workdir=work overlay mnt`,
}

const (
	changeUnion = `
		echo changed >> mnt/file; chown 5:6 mnt/file; rm mnt/gone; rm -r mnt/dir; mkdir mnt/dir; echo n > mnt/dir/new
		mkdir -m 2750 mnt/made; chown 7:8 mnt/made; mkfifo mnt/pipe; ln -s target mnt/link; chown -h 9:9 mnt/link
		chmod 4711 mnt/exec; mv mnt/move mnt/moved; echo two > mnt/names; ln mnt/names mnt/names2; chmod 000 mnt/names
		rm mnt/tree/sub/one; mv mnt/tree mnt/renamed; mkdir mnt/tree; mv mnt/renamed/sub mnt/tree/in; echo four >> mnt/renamed/three`
	listUnion = `(cd mnt; find . -type d -printf '%P %y %m %U:%G\n' -o -printf '%P %y %m %U:%G %n %s %l\n' | sort; find . -type f | sort | xargs cat)`
)

// TestUnionSharesLayers has each overlay filesystem read what each other has written, as upper and as lower layer.
func TestUnionSharesLayers(t *testing.T) {
	for writer, mount := range overlays {
		t.Run(writer, func(t *testing.T) {
			u := newUnionUser(t)
			written := u.asRoot(makeLayers + `mkdir -p lower/tree/sub; for f in sub/one sub/two three; do echo $f > lower/tree/$f; done
				` + "lower=lower upper=upper\n" + mount + changeUnion + "\n" + listUnion + "\numount mnt")
			contains(t, written, "file f 644 5:6 1 12", "made d 2750 7:8", "link l 777 9:9 1 6 target", "exec f 4711",
				"names2 f 0 0:0 2", "\nchanged\n", "tree/in/two f", "\nthree\nfour\n")
			for reader, mount := range overlays {
				if writer == "fuse" && reader == "kernel" {
					continue // it marks directories that were made again by files that the kernel does not know
				}
				for as, layers := range map[string]string{"upper": "lower=lower upper=upper",
					"lower": "lower=upper:lower upper=empty"} {
					read := u.asRoot("mkdir -p empty; " + layers + "\n" + mount + "\n" + listUnion +
						"\numount mnt; rm -rf empty work/work")
					if read != written {
						t.Errorf("written by %s, read by %s as %s:\n%s\nwant\n%s", writer, reader, as, read, written)
					}
				}
			}
			u.asRoot("rm -rf upper work")
		})
	}
}

// TestUnionKeepsOwnersInXattrs shares a tree with fuse-overlayfs where owners cannot be set. The other reads ours as a
// lower layer only: older versions of it have another xattr in an upper.
func TestUnionKeepsOwnersInXattrs(t *testing.T) {
	const options = ` -o xattr_permissions=2,lowerdir=lower,upperdir=upper,workdir=work mnt; `
	for writer, reader := range map[string]string{
		"$OURS":          "fuse-overlayfs -o lowerdir=upper:lower,upperdir=empty,workdir=work mnt; ",
		"fuse-overlayfs": "$OURS" + options,
	} {
		t.Run(writer, func(t *testing.T) {
			u := newUnionUser(t)
			list := `stat -c '%n %a %u:%g' mnt/file mnt/new mnt/sub mnt/exec; umount mnt`
			written := u.asRoot(makeLayers + writer + options +
				`chmod 750 mnt/file; chown 5:6 mnt/file; touch mnt/new; chmod 600 mnt/new; mkdir mnt/sub; chown 7:8 mnt/sub; ` + list)
			contains(t, written, "mnt/file 750 5:6", "mnt/new 600 0:0", "mnt/sub 755 7:8")
			if read := u.asRoot("mkdir empty; " + reader + list); read != written {
				t.Errorf("read\n%s\nwant\n%s", read, written)
			}
			if owners := u.asRoot("stat -c %u:%g upper/file upper/sub; rm -rf work"); owners != "0:0\n0:0" {
				t.Errorf("on disk, the owners are %q", owners)
			}
		})
	}
}

func TestUnionTranslatesOwners(t *testing.T) {
	u := newUnionUser(t)
	got := u.asRoot(makeLayers + `
		chown 3:3 lower/exec
		$OURS -o uidmapping=0:10:2:3:0:1,gidmapping=0:20:5,lowerdir=lower,upperdir=upper,workdir=work mnt
		stat -c %u:%g mnt/file mnt/exec; chown 11:22 mnt/file; stat -c %u:%g mnt/file upper/file; umount mnt
		$OURS -o squash_to_uid=8,squash_to_gid=9,lowerdir=lower,upperdir=upper,workdir=work mnt
		stat -c %u:%g mnt/file mnt/exec; umount mnt; rm -rf upper work lower`)
	if want := "10:20\n0:23\n11:22\n1:2\n8:9\n8:9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPodman has podman use this binary and fuse-overlayfs by turns on the same store.
func TestPodman(t *testing.T) {
	u := newUserBeside(t, &hostMounts)
	u.asOverlay()
	if err := os.WriteFile(u.path("home/bb.tar"), busyboxTree(t), 0o644); err != nil {
		t.Fatal(err)
	}
	u.inHome(`mkdir ctx; printf 'FROM bb\nRUN echo built > /b && chown 1:1 /b && rm -r /home\nRUN ln /b /b2 && mv /var /var2\nFROM scratch\nCOPY --from=0 /b /b2 /bin/busybox /\n' > ctx/Dockerfile`)
	const podman = `
		podman_with() {
			program=$1; shift
			podman --root $HOME/store --runroot $HOME/runroot --runtime runc --cgroup-manager cgroupfs --events-backend file \
				--storage-driver overlay --storage-opt overlay.mount_program=$program "$@" 2>$HOME/errors || { cat $HOME/errors >&2; exit 1; }
		}
		ours() { podman_with $OURS "$@"; }
		theirs() { podman_with $(command -v fuse-overlayfs) "$@"; }
	`
	defer func() {
		u.inHome(podman + `ours system migrate`) // which ends the process that keeps its namespace
		u.asRoot(`rm -rf store runroot`)
	}()
	got := u.inHome(podman + `
		ours import bb.tar bb >/dev/null
		ours run --rm --net none bb sh -c 'mount | head -n 1 | cut -d" " -f 1,5; ls -ln /home /bin/suid | tail -n 2 | cut -c 1-20; rm /etc/secret'
		ours run --name one --net none bb sh -c 'echo hi > /hello; chown 7:8 /hello; chmod 4755 /hello; rm -r /home; mkdir /home; touch /home/new'
		ours commit one img2 >/dev/null
		theirs run --name two --net none img2 sh -c 'ls /home; stat -c "%u:%g %a" /hello; rm /hello; echo t > /theirs; chown 3:4 /theirs'
		ours start -a two || true
		ours commit two img3 >/dev/null
		ours run --rm --net none img3 sh -c 'ls /; stat -c "%u:%g %a" /theirs'
		ours build --isolation oci --net none -t built ctx >/dev/null
		echo runs: $(theirs run --rm --net none built /busybox cat /b) $(ours run --rm --net none built /busybox cat /b2)
		c=$(ours create built /b); ours export $c | tar --numeric-owner -tvf - | cut -d' ' -f 1,2; ours rm -fa >/dev/null`)
	contains(t, got, "fuse-rcrun fuse.fuse-rcrun", "new\n7:8 4755", "theirs\n", "3:4 644",
		"-rw-r--r-- 1/1\n-rw-r--r-- 1/1", "runs: built built")
	if strings.Contains(got, "hello") {
		t.Errorf("what the other removed is there:\n%s", got)
	}
}

// TestUnionRenamesLowerDirectories has the drop-in leave an upper that any reader understands, and rcrun's own verb one
// that says where things are.
func TestUnionRenamesLowerDirectories(t *testing.T) {
	u := newUnionUser(t)
	u.inHome(makeLayers + `head -c 100000 /dev/zero | tr '\0' z > lower/dir/big; mkdir upper2 work2`)
	got := u.asRoot(`rename() { perl -e 'rename($ARGV[0], $ARGV[1]) or die "rename: $!\n"' "$@"; }
		$OURS -o lowerdir=lower,upperdir=upper,workdir=work mnt
		rename mnt/dir mnt/new; chmod 600 mnt/new/big; ls mnt/new; umount mnt
		fuse-overlayfs -o lowerdir=lower,upperdir=upper,workdir=work mnt 2>/dev/null; find mnt | sort; cat mnt/new/x; tr -d z < mnt/new/big | wc -c; umount mnt
		${OURS%/*}/rcrun union mount -o lowerdir=lower,upperdir=upper2,workdir=work2 mnt
		rename mnt/dir mnt/new; chmod 600 mnt/new/big; cat mnt/new/x; tr -d z < mnt/new/big | wc -c; umount mnt
		find upper2 | sort; test $(stat -c %b upper2/new/big) -le 8`)
	want := "big\nx\nmnt\nmnt/exec\nmnt/file\nmnt/gone\nmnt/move\nmnt/new\nmnt/new/big\nmnt/new/x\nx\n0\nx\n0\n" +
		"upper2\nupper2/dir\nupper2/new\nupper2/new/big"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
