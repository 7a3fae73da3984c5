package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// badServer answers requests well and badly. A request for /stalls has no end before release is closed.
func badServer(content []byte, release <-chan struct{}) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })
	mux.HandleFunc("/known", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:len(content)/2])
	})
	mux.HandleFunc("/stalls", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(content[:1000])
		w.(http.Flusher).Flush()
		<-release
	})
	mux.Handle("/moved", http.RedirectHandler("/good", http.StatusFound))
	mux.Handle("/circle", http.RedirectHandler("/circle", http.StatusFound))
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	return mux
}

// TestOpenURL downloads from servers that behave well and badly.
func TestOpenURL(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 100_000)
	release := make(chan struct{})
	mux := badServer(content, release)
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(release)
	secure := httptest.NewTLSServer(mux)
	defer secure.Close()
	for _, c := range []struct {
		url   string
		limit int64
		want  string // in the error; "" for none
	}{
		{server.URL + "/good", 1 << 20, ""}, {server.URL + "/known", 100_000, ""}, {server.URL + "/moved", 1 << 20, ""},
		{server.URL + "/known", 99_999, "more than the 99999"},
		{server.URL + "/good", 99_999, "more bytes than a layer"},
		{server.URL + "/none", 1 << 20, "404 Not Found"}, {server.URL + "/cut", 1 << 20, "unexpected EOF"},
		{server.URL + "/circle", 1 << 20, "redirects too often"},
		{server.URL + "/file", 1 << 20, `unsupported protocol scheme "file"`},
		{server.URL + "/stalls", 1 << 20, "sent nothing for 200ms"},
		{"http://127.0.0.1:1/x", 1 << 20, "connection refused"},
		{secure.URL + "/good", 1 << 20, "certificate"}, {"http://bad host/", 1 << 20, "host"},
	} {
		stall := time.Minute // on a busy machine, an answer that does come may take long
		if strings.HasSuffix(c.url, "/stalls") {
			stall = 200 * time.Millisecond
		}
		body, size, err := openURL(context.Background(), c.url, c.limit, stall)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(body)
			body.Close()
		}
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "http://127.0.0.1") {
				t.Errorf("%s: error %v, want one with %q and without the address", c.url, err, c.want)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, content) || strings.HasSuffix(c.url, "known") &&
			size != int64(len(content)) {
			t.Errorf("%s: %d bytes of %d, %v", c.url, len(got), size, err)
		}
	}
}

// TestURLErrorClass checks what class the error of a server's answer has.
func TestURLErrorClass(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(status)
	}))
	defer server.Close()
	for code, class := range map[int]error{
		http.StatusNotFound: errdefs.ErrNotFound, http.StatusUnauthorized: errdefs.ErrUnauthenticated,
		http.StatusForbidden: errdefs.ErrPermissionDenied, http.StatusBadGateway: errdefs.ErrUnavailable,
	} {
		status = code
		if _, _, err := openURL(context.Background(), server.URL, 1, time.Minute); fault.Class(err) != class {
			t.Errorf("%d: class %v of %v, want %v", code, fault.Class(err), err, class)
		}
	}
}

func TestRedirectToPlainHTTP(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	to, err := http.NewRequest(http.MethodGet, plain.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	from, err := http.NewRequest(http.MethodGet, "https://example.org/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkRedirect(to, []*http.Request{from}); err == nil ||
		!strings.Contains(err.Error(), "from https to http") {
		t.Errorf("error %v", err)
	}
}
