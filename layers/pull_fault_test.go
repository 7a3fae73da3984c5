package layers

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// TestPullRetries pulls from a registry that does well after a while.
func TestPullRetries(t *testing.T) {
	img, big := bigSample(t)
	blob := img.blobs[big]
	for name, f := range map[string]breakage{
		"server error":       on(big.String(), 2, status(http.StatusInternalServerError)),
		"overloaded":         on(big.String(), 2, status(http.StatusTooManyRequests)),
		"unavailable":        on("latest", 2, status(http.StatusServiceUnavailable)),
		"configuration lost": on(img.configDigest(), 2, status(http.StatusBadGateway)),
		"cut off":            on(big.String(), 2, cut(blob, 100_000)),
		"nothing sent":       on(big.String(), 2, cut(blob, 0)),
		"short":              on(big.String(), 2, send(blob[:1000])),
		"too long":           on(big.String(), 2, send(append(slices.Clone(blob), 'x'))),
		"altered":            on(big.String(), 2, send(altered(blob))),
	} {
		t.Run(name, func(t *testing.T) {
			reg, s := newRegistry(t), openStore(t)
			reg.push(t, img, "app", "latest")
			reg.breakWith(f)
			pulled, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{RegistryOptions: quickly(3)})
			if err != nil || pulled.ID != img.id() {
				t.Fatalf("pulled %s, %v", pulled.ID, err)
			}
			checkSample(t, s, img)
			if left := blobsLeft(t, s); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestPullGivesUp pulls from a registry that does not recover: the error says about what, and nothing is left but what
// is good for another attempt.
func TestPullGivesUp(t *testing.T) {
	img, big := bigSample(t)
	blob := img.blobs[big]
	for name, c := range map[string]struct {
		breakage breakage
		want     []string
		parts    int
	}{
		"server error": {on(big.String(), -1, status(http.StatusInternalServerError)), []string{big.String(), "500", "3 attempts"}, 1},
		"not there":    {on(big.String(), -1, status(http.StatusNotFound)), []string{big.String(), "404"}, 1},
		"cut off":      {on(big.String(), -1, cut(blob, 1000)), []string{big.String(), "EOF", "3 attempts"}, 1},
		"short":        {on(big.String(), -1, send(blob[:1000])), []string{big.String(), "ends after"}, 1},
		"altered":      {on(big.String(), -1, send(altered(blob))), []string{big.String(), "wrong content", "3 attempts"}, 0},
		"no manifest":  {on("latest", -1, status(http.StatusBadGateway)), []string{"latest", "502", "3 attempts"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			reg, s := newRegistry(t), openStore(t)
			reg.push(t, img, "app", "latest")
			reg.breakWith(c.breakage)
			_, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{RegistryOptions: quickly(2)})
			for _, part := range append(c.want, reg.host+"/app") {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want %q in it", err, part)
				}
			}
			isEmpty(t, s)
			left := blobsLeft(t, s)
			for _, name := range left {
				if strings.HasSuffix(name, ".lock") || strings.Contains(name, big.Encoded()) && c.parts == 0 {
					t.Errorf("left behind: %s", name)
				}
			}
			reg.breakWith(nil)
			if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err != nil {
				t.Error(err)
			}
			checkSample(t, s, img)
			if left := blobsLeft(t, s); len(left) > 0 {
				t.Errorf("left behind in the end: %q", left)
			}
		})
	}
}

// TestPullLeavesNoLayer pulls an image whose upper layer cannot be unpacked, after the lower one was.
func TestPullLeavesNoLayer(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	base := rootfsTar(t, "x")
	reg.push(t, newSample(t, "amd64", base, archiveOf(t, file{"../../x", []byte("bad")})), "evil", "latest")
	if _, err := s.Pull(context.Background(), reg.host+"/evil", PullOptions{}); err == nil {
		t.Fatal("pulled")
	}
	isEmpty(t, s)
	// Layers that something needs stay.
	good := newSample(t, "amd64", base)
	reg.push(t, good, "good", "latest")
	if _, err := s.Pull(context.Background(), reg.host+"/good", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(context.Background(), reg.host+"/evil", PullOptions{}); err == nil {
		t.Fatal("pulled")
	}
	if left, err := s.lib.Layers(); len(left) != 1 || err != nil {
		t.Errorf("layers %+v, %v; want that of the good image", left, err)
	}
}

// TestPullResumes breaks a download off and looks at what the next one asks for.
func TestPullResumes(t *testing.T) {
	img, big := bigSample(t)
	blob := img.blobs[big]
	reg, s := newRegistry(t), openStore(t)
	reg.push(t, img, "app", "latest")
	const sent = 300_000
	reg.breakWith(on(big.String(), -1, cut(blob, sent)))
	if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err == nil {
		t.Fatal("pulled")
	}
	before := len(reg.ranges[big.String()])
	reg.breakWith(serveRange(big.String(), blob))
	if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	checkSample(t, s, img)
	if ranges := reg.ranges[big.String()][before:]; len(ranges) != 1 || ranges[0] != fmt.Sprintf("bytes=%d-", sent) {
		t.Errorf("the second pull asked for %q", ranges)
	}
	// A registry that cannot send parts sends all.
	t.Run("no ranges", func(t *testing.T) {
		s := openStore(t)
		whole := send(blob)
		reg.breakWith(on(big.String(), -1, cut(blob, sent)))
		if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err == nil {
			t.Fatal("pulled")
		}
		reg.breakWith(on(big.String(), -1, whole))
		if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err != nil {
			t.Fatal(err)
		}
		checkSample(t, s, img)
	})
}

// serveRange serves a blob in parts, as real registries do.
func serveRange(name string, blob []byte) breakage {
	return on(name, -1, func(w http.ResponseWriter, req *http.Request) bool {
		http.ServeContent(w, req, "", time.Time{}, strings.NewReader(string(blob)))
		return true
	})
}

// TestPushRetries pushes to a registry that does well after a while.
func TestPushRetries(t *testing.T) {
	img, _ := bigSample(t)
	reg, s := newRegistry(t), openStore(t)
	reg.push(t, img, "app", "latest")
	if _, err := s.Pull(context.Background(), reg.host+"/app", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, method := range map[string]string{"upload": http.MethodPost, "manifest": http.MethodPut} {
		var n atomic.Int32
		fail := func(w http.ResponseWriter, req *http.Request) bool {
			return req.Method == method && n.Add(1) <= 2 && status(http.StatusBadGateway)(w, req)
		}
		to := newRegistry(t)
		to.breakWith(fail)
		pushed, err := s.Push(context.Background(), reg.host+"/app", PushOptions{RegistryOptions: quickly(3), To: to.host + "/" + name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		resp, err := http.Get("http://" + to.host + "/v2/" + name + "/manifests/latest")
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || digest.FromBytes(manifest) != pushed.Digest || int64(len(manifest)) != pushed.Size {
			t.Errorf("%s: the registry has %q, %v; want %+v", name, manifest, err, pushed)
		}
	}
}

// TestPullKilledAnywhere kills pulls at random moments: whatever is listed then is whole, nothing is broken, and the next
// pull does what the one before did not get to.
func TestPullKilledAnywhere(t *testing.T) {
	img, _ := bigSample(t)
	reg, dir := newRegistry(t), t.TempDir()
	reg.push(t, img, "app", "latest")
	ref := reg.host + "/app"
	s := openStoreAt(t, dir)
	begin := time.Now()
	if out, err := pullProcess(dir, ref).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(begin)
	random := rand.New(rand.NewPCG(uint64(begin.UnixNano()), 0))
	finished := 0
	for i := range 30 {
		if i%3 == 0 { // else it goes on where the one before was killed
			if _, err := s.RemoveImage(ref, RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
				t.Fatal(err)
			}
		}
		pull := pullProcess(dir, ref)
		if err := pull.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		pull.Process.Kill()
		pull.Wait()             // that it was killed is no error
		s = openStoreAt(t, dir) // which finishes or undoes what it was at
		images, err := s.Images()
		if err != nil {
			t.Fatal(err)
		}
		if len(images) > 0 {
			finished++
			checkSample(t, s, img)
		}
		problems, err := s.Check(context.Background(), CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if p.Kind != Leftover {
				t.Fatalf("seed %d, kill %d: %+v", begin.UnixNano(), i, p)
			}
		}
	}
	t.Logf("%d pulls came to an end", finished)
	if _, err := s.Pull(context.Background(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	checkSample(t, s, img)
	if left := blobsLeft(t, s); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
