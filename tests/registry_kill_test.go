package tests

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// slowProxy stands before a registry. It holds up big blobs after their first part, until it is opened.
type slowProxy struct {
	host   string
	opened chan struct{}

	mu     sync.Mutex
	ranges []string // what was asked for of big blobs; "" is all
	blob   string   // digest of the last of them
	sent   int64    // bytes of big blobs
}

const (
	bigBlob   = 4 << 20 // bytes that a blob has at least to be held up
	firstPart = 1 << 20
)

// slowly puts a proxy before a registry.
func (u *user) slowly(server *registryServer) *slowProxy {
	p := &slowProxy{opened: make(chan struct{})}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		req *http.Request) {
		p.forward(w, req, server.host)
	}))
	u.t.Cleanup(front.Close)
	u.t.Cleanup(p.open)
	p.host = strings.TrimPrefix(front.URL, "http://")
	return p
}

// open lets everything through from now on.
func (p *slowProxy) open() {
	select {
	case <-p.opened:
	default:
		close(p.opened)
	}
}

func (p *slowProxy) forward(w http.ResponseWriter, req *http.Request, host string) {
	onward := req.Clone(req.Context())
	onward.RequestURI, onward.URL.Scheme, onward.URL.Host = "", "http", host
	resp, err := http.DefaultTransport.RoundTrip(onward)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") &&
		resp.ContentLength >= bigBlob-firstPart {
		p.sendSlowly(w, req, resp.Body)
		return
	}
	io.Copy(w, resp.Body) // the client notices what is missing
}

func (p *slowProxy) sendSlowly(w http.ResponseWriter, req *http.Request, body io.Reader) {
	p.mu.Lock()
	p.ranges = append(p.ranges, req.Header.Get("Range"))
	p.blob = path.Base(req.URL.Path)
	p.mu.Unlock()
	n, _ := io.CopyN(w, body, firstPart) // and what is missing is noticed by the client
	http.NewResponseController(w).Flush()
	select {
	case <-p.opened:
	case <-req.Context().Done():
		return
	}
	rest, _ := io.Copy(w, body)
	p.mu.Lock()
	p.sent += n + rest
	p.mu.Unlock()
}

// asked returns what was asked for of big blobs so far.
func (p *slowProxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.ranges...)
}

// putBig puts an image with a big blob into a registry.
func (u *user) putBig(server *registryServer) picture {
	u.t.Helper()
	content := make([]byte, bigBlob+12345)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(content) // which never fails
	p := newPicture("app:v1", busyboxTree(u.t), pack(u.t, file("big", 0o644, string(content))))
	u.put(server.host, "app:v1", p)
	return p
}

// blobs is where the user's store keeps what it is fetching.
func (u *user) blobs() string { return u.path("home", ".local", "share", "rcrun", "storage", "blobs") }

// partSize returns how much has been fetched of the blob that the proxy holds up. Others may be under way beside it.
func (u *user) partSize(p *slowProxy) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := os.Stat(filepath.Join(u.blobs(), strings.ReplaceAll(p.blob, ":", "-")+".part"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// startPull starts a pull that a test kills.
func (u *user) startPull(name string) *exec.Cmd {
	u.t.Helper()
	cmd := u.cmd("pull", "-q", name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	return cmd
}

// TestPullKilled kills a pull with -9, and looks at what the next one fetches.
func TestPullKilled(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := u.putBig(server)
	proxy := u.slowly(server)
	name := proxy.host + "/app:v1"
	pull := u.startPull(name)
	eventually(t, "the first part has arrived", func() bool { return u.partSize(proxy) >= firstPart })
	pull.Process.Kill()
	pull.Wait() // that it was killed is no error
	arrived := u.partSize(proxy)
	u.prints("", "images", "-q")
	u.run("store", "check")

	proxy.open()
	u.prints(p.id(t), "pull", "-q", name)
	want := []string{"", fmt.Sprintf("bytes=%d-", arrived)}
	if asked := proxy.asked(); len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
		t.Errorf("the pulls asked for %q, want %q", asked, want)
	}
	if proxy.sent >= bigBlob {
		t.Errorf("the second pull fetched %d bytes, all over again", proxy.sent)
	}
	u.prints(fmt.Sprint(bigBlob+12345), "run", "--rm", name, "stat", "-c", "%s", "/big")
	u.run("rmi", name)
	u.isEmptyStore()
	u.hasNoBlobs()
}

// hasNoBlobs checks that nothing is left of what was fetched.
func (u *user) hasNoBlobs() {
	u.t.Helper()
	if left, _ := filepath.Glob(u.blobs() + "/*"); len(left) > 0 {
		u.t.Errorf("left behind: %q", left)
	}
}

// TestPullTakesOver kills a pull while another waits for what it fetches.
func TestPullTakesOver(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := u.putBig(server)
	proxy := u.slowly(server)
	name := proxy.host + "/app:v1"
	first := u.startPull(name)
	eventually(t, "the first part has arrived", func() bool { return u.partSize(proxy) >= firstPart })
	var second result
	done := make(chan struct{})
	go func() {
		defer close(done)
		second = u.try("pull", name)
	}()
	eventually(t, "the second pull waits", func() bool {
		return strings.Count(server.requests(t), "GET /v2/app/manifests/v1") == 2
	})
	first.Process.Kill()
	first.Wait() // that it was killed is no error
	proxy.open()
	<-done
	contains(t, u.succeeded(second), "Downloaded newer image")
	u.hasImage(name, p.id(t))
	if asked := proxy.asked(); len(asked) != 2 || !strings.HasPrefix(asked[1], "bytes=") {
		t.Errorf("the pulls asked for %q", asked)
	}
	u.hasNoBlobs()
}

// TestPullInterrupted ends a pull as somebody at the keyboard does: nothing is left but what has arrived.
func TestPullInterrupted(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := u.putBig(server)
	proxy := u.slowly(server)
	name := proxy.host + "/app:v1"
	pulls := 0
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		pull := u.startPull(name)
		pulls++
		// Before it asks, it may be as its starter left it: in the background of a script, without an ear for SIGINT.
		eventually(t, "the blob is asked for", func() bool { return len(proxy.asked()) == pulls })
		eventually(t, "the first part has arrived", func() bool { return u.partSize(proxy) >= firstPart })
		if err := pull.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		pull.Wait() // the exit code is looked at next
		if got := exitCode(pull.ProcessState); got != code {
			t.Errorf("after %v the exit code is %d, want %d", signal, got, code)
		}
		if out := pull.Stdout.(*bytes.Buffer).String(); out != "" {
			t.Errorf("after %v the pull said:\n%s", signal, out)
		}
		u.isEmptyStore()
		u.prints("", "store", "check")
		if locks, _ := filepath.Glob(u.blobs() + "/*.lock"); len(locks) > 0 {
			t.Errorf("left behind: %q", locks)
		}
	}
	proxy.open()
	u.prints(p.id(t), "pull", "-q", name)
}
