package blobcache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// origin is where a test's blob comes from.
type origin struct {
	data    []byte
	cut     int // where the body breaks off, 0 for nowhere
	opened  atomic.Int32
	offsets []int64
}

func (o *origin) open(_ context.Context, offset int64) (io.ReadCloser, error) {
	o.opened.Add(1)
	o.offsets = append(o.offsets, offset)
	rest := o.data[offset:]
	if o.cut > 0 {
		return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:o.cut]), iotest.ErrReader(errors.New("cut off")))), nil
	}
	return io.NopCloser(bytes.NewReader(rest)), nil
}

func mustClaim(t *testing.T, c Cache, d digest.Digest) *Claim {
	t.Helper()
	claim, err := c.Claim(d)
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

// fetch fetches a blob of the right content.
func fetch(t *testing.T, claim *Claim, o *origin) {
	t.Helper()
	file, err := claim.Fetch(context.Background(), int64(len(o.data)), o.open, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, o.data) {
		t.Errorf("fetched %d bytes, %v", len(got), err)
	}
}

func release(t *testing.T, claim *Claim, keep bool) {
	t.Helper()
	if err := claim.Release(keep); err != nil {
		t.Error(err)
	}
}

func listing(t *testing.T, c Cache) []string {
	t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFetchOnce(t *testing.T) {
	c := New(filepath.Join(t.TempDir(), "blobs"))
	o := &origin{data: bytes.Repeat([]byte("blob"), 1<<16)}
	d := digest.FromBytes(o.data)
	claims := []*Claim{mustClaim(t, c, d), mustClaim(t, c, d), mustClaim(t, c, d)}
	var wg sync.WaitGroup
	for _, claim := range append(claims, claims...) { // several goroutines with one claim, too
		wg.Go(func() { fetch(t, claim, o) })
	}
	wg.Wait()
	if o.opened.Load() != 1 {
		t.Errorf("fetched %d times", o.opened.Load())
	}
	for i, claim := range claims {
		if claimed, err := c.Claimed(d); err != nil || !claimed {
			t.Errorf("claimed %v, %v", claimed, err)
		}
		if len(listing(t, c)) != 2 {
			t.Errorf("%q is there while %d claims are left", listing(t, c), len(claims)-i)
		}
		release(t, claim, false)
	}
	if claimed, err := c.Claimed(d); err != nil || claimed {
		t.Errorf("claimed %v, %v after the last release", claimed, err)
	}
	if names := listing(t, c); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

func TestResume(t *testing.T) {
	c := New(t.TempDir())
	o := &origin{data: bytes.Repeat([]byte("x"), 1000), cut: 300}
	d := digest.FromBytes(o.data)
	claim := mustClaim(t, c, d)
	var interrupted *InterruptedError
	_, err := claim.Fetch(context.Background(), 1000, o.open, nil)
	if !errors.As(err, &interrupted) || interrupted.Have != 300 || !strings.Contains(err.Error(), d.String()) {
		t.Fatalf("error %v", err)
	}
	release(t, claim, true)
	o.cut = 0
	claim = mustClaim(t, c, d)
	fetch(t, claim, o)
	if o.offsets[1] != 300 {
		t.Errorf("opened at %v", o.offsets)
	}
	// A process that is killed does not release its claims. What it left is verified again, without being fetched.
	if err := claim.lock.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustClaim(t, c, d)
	if _, err := os.Stat(again.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the blob of a dead process is trusted: %v", err)
	}
	fetch(t, again, o)
	if len(o.offsets) != 2 {
		t.Errorf("opened at %v", o.offsets)
	}
	release(t, again, false)
}

func TestWrongContent(t *testing.T) {
	right := []byte("right content")
	for name, c := range map[string]struct {
		left, sent, want string
	}{
		"altered":      {"", "wrong content", "wrong content"},
		"too long":     {"", "right content and more", "longer"},
		"altered part": {"wrong", "right content", "wrong content"},
		"short":        {"", "right", "ends after 5 of 13 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			cache := New(t.TempDir())
			d := digest.FromBytes(right)
			claim := mustClaim(t, cache, d)
			if err := os.WriteFile(claim.path+partSuffix, []byte(c.left), 0o600); err != nil {
				t.Fatal(err)
			}
			sent := &origin{data: []byte(c.sent)}
			_, err := claim.Fetch(context.Background(), int64(len(right)), sent.open, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), d.String()) {
				t.Errorf("error %v, want one with %q and the digest", err, c.want)
			}
			fetch(t, claim, &origin{data: right})
			release(t, claim, false)
		})
	}
}

// TestStall fetches from a server that sends a part and then nothing, without ending the connection.
func TestStall(t *testing.T) {
	c := New(t.TempDir())
	c.stall = 10 * time.Millisecond
	o := &origin{data: []byte("all of it")}
	claim := mustClaim(t, c, digest.FromBytes(o.data))
	_, err := claim.Fetch(context.Background(), 9, func(ctx context.Context, _ int64) (io.ReadCloser, error) {
		silent, w := io.Pipe()
		context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
		return io.NopCloser(io.MultiReader(strings.NewReader("all"), silent)), nil
	}, nil)
	if interrupted := (*InterruptedError)(nil); !errors.As(err, &interrupted) || interrupted.Have != 3 ||
		errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	claim.stall = maxStall // on a busy machine, a reader may wait 10 ms for a processor
	fetch(t, claim, o)
	if o.offsets[0] != 3 {
		t.Errorf("went on at %v", o.offsets)
	}
	release(t, claim, false)
}

// TestFullDisk lets writing fail, as on a disk that fills up.
func TestFullDisk(t *testing.T) {
	c := New(t.TempDir())
	o := &origin{data: bytes.Repeat([]byte("x"), 1<<16)}
	claim := mustClaim(t, c, digest.FromBytes(o.data))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1000, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := claim.Fetch(context.Background(), int64(len(o.data)), o.open, nil)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if interrupted := (*InterruptedError)(nil); !errors.Is(err, unix.EFBIG) || errors.As(err, &interrupted) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(claim.path + partSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the part is kept: %v", err)
	}
	release(t, claim, true)
}

func TestWaitEnds(t *testing.T) {
	c := New(t.TempDir())
	d := digest.FromString("x")
	one, two := mustClaim(t, c, d), mustClaim(t, c, d)
	done, err := one.Lock(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := two.Lock(ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("waited for a lock: %v", err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	if done, err = two.Lock(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	release(t, one, false)
	release(t, two, false)
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	c := New(dir)
	old, used, fresh := digest.FromString("old"), digest.FromString("used"), digest.FromString("fresh")
	long := time.Now().Add(-2 * keepParts)
	for _, d := range []digest.Digest{old, used, fresh} {
		part := filepath.Join(dir, "sha256-"+d.Encoded()+partSuffix)
		if err := os.WriteFile(part, []byte("part"), 0o600); err != nil {
			t.Fatal(err)
		}
		if d != fresh {
			if err := os.Chtimes(part, long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	killed := mustClaim(t, c, fresh)
	if err := killed.lock.Close(); err != nil {
		t.Fatal(err)
	}
	claim := mustClaim(t, c, used)
	if err := c.Sweep(); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(listing(t, c), " "); strings.Contains(text, old.Encoded()) ||
		!strings.Contains(text, used.Encoded()) || !strings.Contains(text, fresh.Encoded()+partSuffix) ||
		strings.Contains(text, fresh.Encoded()+lockSuffix) {
		t.Errorf("after a sweep: %s", text)
	}
	release(t, claim, true)
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	if names := listing(t, c); len(names) > 0 {
		t.Errorf("after clearing: %q", names)
	}
}
