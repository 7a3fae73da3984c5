package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// attackEnv tells the test binary, executed in a container, what to try there.
const attackEnv = "RCRUN_ATTACK"

// attacks are programs of a hostile container. They print what they achieve.
var attacks = map[string]func(){
	"look":    lookAtOthers,
	"stop":    stopOthers,
	"kill":    killOthers,
	"trace":   traceFirst,
	"rewrite": rewriteSelf,
	"keys":    readKeys,
	"hang":    serveNothing,
}

// attacked makes an attack with arguments the command of a container.
func attacked(t *testing.T, c *Config, name string, args ...string) {
	t.Helper()
	program, err := os.ReadFile(selfExe)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(c.RootConfig.(bindRoot).Path, "bin/attack"), program, 0o755))
	c.Spec.Process.Args = append([]string{"/bin/attack"}, args...)
	c.Spec.Process.Env = append(c.Spec.Process.Env, attackEnv+"="+name)
}

// others calls do for every other process except the first, again and again.
func others(do func(pid int)) {
	fmt.Println("ready")
	for {
		names, _ := filepath.Glob("/proc/[0-9]*")
		for _, name := range names {
			pid, _ := strconv.Atoi(filepath.Base(name))
			if pid > 1 && pid != os.Getpid() {
				do(pid)
			}
		}
	}
}

// lookAtOthers looks for processes that give access to files of the host, whose name is in the arguments, and for
// processes of the runtime.
func lookAtOthers() {
	goruntime.LockOSThread() // the tracer is a thread
	secret := os.Args[1]
	others(func(pid int) {
		dir := fmt.Sprintf("/proc/%d/", pid)
		for _, link := range []string{"root", "cwd"} {
			if _, err := os.Stat(dir + link + secret); err == nil {
				fmt.Println("reached the host through", link)
			}
		}
		mounts, err := os.ReadFile(dir + "mountinfo")
		if err == nil && bytes.Contains(mounts, []byte(filepath.Dir(secret))) {
			fmt.Println("read the host's mounts")
		}
		if target, err := os.Readlink(dir + "exe"); err == nil && !strings.HasPrefix(target, "/bin/") {
			fmt.Println("saw a program of the host:", target)
		}
		for fd := 3; fd < 40; fd++ { // the commands that are executed have three
			if target, err := os.Readlink(fmt.Sprintf("%sfd/%d", dir, fd)); err == nil {
				fmt.Println("saw an open file of ours:", fd, target)
			}
		}
		if syscall.PtraceAttach(pid) == nil {
			if target, err := os.Readlink(dir + "exe"); err == nil && !strings.HasPrefix(target, "/bin/") {
				fmt.Println("traced a program of the host:", target)
			}
			unix.Kill(pid, unix.SIGKILL) // so that it does not stay stopped
			for status := unix.WaitStatus(0x7f); !status.Exited() && !status.Signaled(); {
				if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil && err != unix.EINTR {
					break
				}
			}
		}
	})
}

func stopOthers() {
	others(func(pid int) { unix.Kill(pid, unix.SIGSTOP) })
}

func killOthers() {
	others(func(pid int) { unix.Kill(pid, unix.SIGKILL) })
}

// traceFirst tries to take over the first process.
func traceFirst() {
	goruntime.LockOSThread()
	if err := syscall.PtraceAttach(1); err == nil {
		fmt.Println("traced the first process")
	} else {
		fmt.Println(err)
	}
	for _, file := range []string{"mem", "maps", "environ", "exe", "root/.", "cwd/.", "fd/0"} {
		if f, err := os.Open("/proc/1/" + file); err == nil {
			fmt.Println("opened", f.Name())
		}
	}
}

// rewriteSelf is executed from the stage's binary. It tries to write to the binary at once, and again when no process
// executes it.
func rewriteSelf() {
	for _, flags := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC} {
		if _, err := os.OpenFile(selfExe, flags, 0); err == nil {
			fmt.Println("opened the binary for writing")
		}
	}
	fd, err := unix.Open(selfExe, unix.O_PATH, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	unix.Fchmod(fd, 0o777)
	unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	script := fmt.Sprintf("echo x 2>/dev/null >/proc/self/fd/%d && echo wrote to the binary; exit 0", fd)
	fmt.Println(unix.Exec("/bin/sh", []string{"sh", "-c", script}, os.Environ()))
}

// readKeys looks for a key of the host's session.
func readKeys() {
	if _, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", keyName, 0); err == nil {
		fmt.Println("found the key in the session keyring")
	}
	if id, err := unix.RequestKey("user", keyName, "", 0); err == nil {
		fmt.Println("was given the key", id)
	}
}

const keyName = "rcrun-test-key"

// TestExecShowsNothingOfTheHost has a container with all capabilities examine every process that an exec makes.
func TestExecShowsNothingOfTheHost(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o600))
	for _, init := range []bool{false, true} {
		b := run(t, nil, func(c *Config) {
			attacked(t, c, "look", secret)
			allCapabilities(t, c)
			c.Init = init
		})
		for range 60 {
			p, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("true").Process})
			must(t, err)
			p.Wait(t.Context())
			p.Close()
		}
		must(t, b.Signal(unix.SIGKILL))
		if out := strings.TrimSpace(strings.TrimPrefix(b.stdout.all(), "ready\n")); out != "" {
			t.Errorf("the container %s", out)
		}
	}
}

// TestExecIsStopped has a container stop every process that it sees. An exec that has not become the command goes on,
// or the error says that the container stopped it.
func TestExecIsStopped(t *testing.T) {
	b := run(t, nil, func(c *Config) { attacked(t, c, "stop") })
	for range 40 {
		p, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("true").Process})
		if err != nil {
			if !strings.Contains(err.Error(), "SIGSTOP") {
				t.Errorf("exec: %v", err)
			}
			continue
		}
		p.Signal(unix.SIGKILL) // it may be stopped for as long as the container likes
		p.Wait(t.Context())
		p.Close()
	}
}

// TestFirstProcessIsOutOfReach has payloads of all strengths try to take over the reaper.
func TestFirstProcessIsOutOfReach(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"default": nil,
		"all":     func(c *Config) { allCapabilities(t, c) },
		"no new privileges": func(c *Config) {
			c.Spec.Process.NoNewPrivileges = true
			withSeccomp(t)(c)
		},
	} {
		b := run(t, nil, func(c *Config) {
			c.Init = true
			attacked(t, c, "trace")
			if change != nil {
				change(c)
			}
		})
		b.Wait(t.Context())
		expect(t, name, b.stdout.all(), "operation not permitted")
	}
}

// TestReaperIsNoStrongerThanPayload compares the privileges of the first process with those of the payload.
func TestReaperIsNoStrongerThanPayload(t *testing.T) {
	for _, nnp := range []bool{false, true} {
		out, stderr, _ := finish(t, `for p in 1 self; do grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/$p/status; done
			grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/1/status; tr '\0' ' ' </proc/1/comm`,
			func(c *Config) {
				c.Init = true
				c.Spec.Process.NoNewPrivileges = nnp
				withSeccomp(t)(c)
			})
		same := fmt.Sprintf("CapBnd: %s NoNewPrivs: %d Seccomp: 2", dockerCaps, map[bool]int{false: 0, true: 1}[nnp])
		const kill = "0000000000000020"
		const none = "0000000000000000"
		want := same + " " + same +
			fmt.Sprintf(" CapInh: %s CapPrm: %s CapEff: %s CapAmb: %s rcrun-init", none, kill, kill, none)
		expect(t, "status "+stderr, out, want)
	}
}

// TestPayloadIsOurBinary executes the stage's own binary in the container (CVE-2019-5736): it cannot be written to,
// neither while it is executed nor afterwards.
func TestPayloadIsOurBinary(t *testing.T) {
	before, err := os.ReadFile(selfExe)
	must(t, err)
	info, err := os.Stat(selfExe)
	must(t, err)
	b := run(t, nil, func(c *Config) {
		attacked(t, c, "rewrite")
		allCapabilities(t, c)
		c.Spec.Process.Args = []string{selfExe}
	})
	b.Wait(t.Context())
	expect(t, "an attack on the binary", b.stdout.all(), "")
	after, err := os.ReadFile(selfExe)
	must(t, err)
	now, err := os.Stat(selfExe)
	must(t, err)
	if !bytes.Equal(before, after) || info.Mode() != now.Mode() || info.ModTime() != now.ModTime() {
		t.Error("the binary has changed")
	}
}

// TestMountsAreLocked has a container with all capabilities try to undo its mounts.
func TestMountsAreLocked(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o666))
	out, _, _ := finish(t, `
		cat /proc/keys | grep -q . && echo keys are shown
		umount /proc/keys 2>/dev/null && echo unmasked /proc/keys
		umount -l /proc/sys 2>/dev/null && echo unmasked /proc/sys
		umount /sys/firmware 2>/dev/null && echo unmasked /sys/firmware
		umount /ro 2>/dev/null && echo unmounted /ro
		mount -o remount,bind,rw /ro 2>/dev/null && echo remounted /ro
		mkdir /moved; mount --move /ro /moved 2>/dev/null && echo moved /ro
		echo x 2>/dev/null >/ro/file && echo wrote to /ro
		mount -t tmpfs none /moved || echo no mount of its own`, func(c *Config) {
		allCapabilities(t, c)
		must(t, os.Symlink("busybox", filepath.Join(c.RootConfig.(bindRoot).Path, "bin/umount")))
		c.Spec.Mounts = append(c.Spec.Mounts, bindMount(dir, "/ro", "ro"))
	})
	expect(t, "what the container could undo", out, "")
}

// TestSessionKeyring puts a key into the creator's session keyring, where the container must not find it.
func TestSessionKeyring(t *testing.T) {
	root := tree(t)
	program, err := os.ReadFile(selfExe)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "bin/attack"), program, 0o755))
	creator := exec.Command(selfExe, root, t.TempDir(), "/bin/attack")
	creator.Args[0] = keyHolderName
	creator.Env = append(os.Environ(), attackEnv+"=")
	out, err := creator.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	_, found, _ := strings.Cut(strings.TrimSpace(string(out)), "\n") // after the line of the processes
	expect(t, "keys", found, "")
}

const keyHolderName = "test-key-holder"

// keyHolderMain is creatorMain with a key in its session.
func keyHolderMain() int {
	goruntime.LockOSThread()
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err == nil {
		_, err = unix.AddKey("user", keyName, []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING)
	}
	if err == nil {
		// The processes of the creator have the keyring of the thread that forks or executes them.
		if _, err = unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", keyName, 0); err == nil {
			err = syscall.Exec(selfExe, append([]string{creatorName}, os.Args[1:]...), os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestExecIsKilled has a container kill every process that it sees. The error must not say that the container has
// ended.
func TestExecIsKilled(t *testing.T) {
	b := run(t, nil, func(c *Config) { attacked(t, c, "kill") })
	killed := 0
	for range 40 {
		p, err := b.Exec(t.Context(), ExecConfig{Process: DefaultSpec("true").Process})
		if err != nil {
			killed++
			if errors.Is(err, ErrExited) || !strings.Contains(err.Error(), "killed") {
				t.Errorf("exec: %v", err)
			}
			if killed == 2 { // each takes a while, in which the container might end
				break
			}
			continue
		}
		p.Wait(t.Context())
		p.Close()
	}
}

// TestLongPrograms needs more steps than a program usually has.
func TestLongPrograms(t *testing.T) {
	var search strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&search, "/%d:", i)
	}
	deep := strings.Repeat("/d", 600)
	out, stderr, code := finish(t, "pwd", func(c *Config) {
		c.Spec.Process.Env = []string{"PATH=" + search.String() + "/bin"}
		c.Spec.Process.Cwd = deep
	})
	if out != deep+"\n" || code != 0 {
		t.Errorf("exit code %d, %q, %s", code, out, stderr)
	}
}

// TestUserWithoutID names a user whose number in the container's own file is not a valid id.
func TestUserWithoutID(t *testing.T) {
	b := create(t, []string{"true"}, func(c *Config) {
		c.Spec.Process.User.Username = "odd"
		passwd := filepath.Join(c.RootConfig.(bindRoot).Path, "etc/passwd")
		must(t, os.WriteFile(passwd, []byte("odd:x:4294967296:0::/:/bin/sh\n"), 0o644))
	})
	if err := b.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "4294967296") {
		t.Errorf("start: %v", err)
	}
}

// TestOpenMounts has a container change its mounts as a privileged one may.
func TestOpenMounts(t *testing.T) {
	dir := t.TempDir()
	for name, change := range map[string]func(*Config){
		// busybox reads ids of the host as options of the mount; that works only if the map has these ids, too.
		"default": func(c *Config) { c.Spec.Process.Env = append(c.Spec.Process.Env, "RESIZE=1") },
		"reaper":  func(c *Config) { c.Init = true },
		"nomap":   func(c *Config) { c.MapIDs = mapNone(t) },
		"one id":  func(c *Config) { c.MapIDs = mapOne },
	} {
		out, stderr, _ := finish(t, `
			cd /tmp; mkdir c m
			for d in / /dev /sys /proc; do mount --bind $d c && umount c || echo cannot bind $d; done
			[ -z "$RESIZE" ] || mount -o remount,size=1m /dev/shm || echo cannot resize /dev/shm
			umount /dev/shm || echo cannot unmount /dev/shm
			mount -t tmpfs none c && mount --move c m && umount m || echo cannot move
			mount -t proc none c && umount c || echo no proc
			mount -t sysfs none c && umount c || echo no sysfs
			mount -t devpts none c && umount c || echo no devpts
			umount /work || echo cannot unmount a volume
			ls -d /..; ls /home 2>/dev/null; hostname; echo x >made && cat made`, func(c *Config) {
			allCapabilities(t, c)
			root := c.RootConfig.(bindRoot).Path
			must(t, os.Symlink("busybox", filepath.Join(root, "bin/umount")))
			c.Spec.Mounts = append(c.Spec.Mounts, bindMount(dir, "/work", "ro"))
			c.Spec.Linux.MaskedPaths, c.Spec.Linux.ReadonlyPaths = nil, nil
			c.OpenMounts = true
			change(c)
		})
		expect(t, name+": "+stderr, out, "/.. box x")
	}
}
