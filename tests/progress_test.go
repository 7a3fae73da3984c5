package tests

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestProgressOnTerminal checks that long work shows on a terminal how far it is, and says nothing of it elsewhere.
func TestProgressOnTerminal(t *testing.T) {
	u := newUserWithImage(t)
	bb := u.path("home", "bb.tar")
	if err := os.WriteFile(bb, busyboxTree(t), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run("run", "--name", "changed", "--network", "none", "bb", "sh", "-c", "head -c 3000000 /dev/urandom >/data")
	archive := u.path("tmp", "saved.tar")
	for _, c := range []struct {
		args  []string
		shows string
		last  string // on the terminal
	}{
		{[]string{"import", bb, "new:1"}, "Importing [", "sha256:"},
		{[]string{"commit", "changed", "committed"}, "Committing ", "sha256:"},
		{[]string{"save", "-o", archive, "committed"}, "Saving [", ""},
		{[]string{"export", "-o", u.path("tmp", "exported.tar"), "changed"}, "Exporting ", ""},
		{[]string{"store", "check", "--deep"}, "Checking layers [", ""},
		{[]string{"load", "-i", archive}, "Layer already exists", "Loaded image: committed:latest"},
	} {
		term := u.onTerminal(c.args...)
		term.expect(c.shows)
		term.expect(c.last)
		if code := term.wait(); code != 0 {
			t.Errorf("%v: exit code %d", c.args, code)
		}
		if r := u.try(c.args...); r.code != 0 || r.stderr != "" || strings.Contains(r.stdout, "\x1b") ||
			strings.Contains(r.stdout, "[") {
			t.Errorf("%v in a pipe: exit code %d, %q, %q", c.args, r.code, r.stdout, r.stderr)
		}
	}
	elsewhere := u.path("home", "elsewhere")
	term := u.onTerminal("--root", elsewhere, "load", "-i", archive)
	term.expect("Loading committed:latest")
	term.expect("Loading layer [")
	term.expect("Loaded layer")
	term.expect("Loaded image: committed:latest")
	term.wait()
	u.run("--root", elsewhere, "rmi", "committed")
	term = u.onTerminal("--root", elsewhere, "load", "-q", "-i", archive)
	term.expect("Loaded image: committed:latest")
	term.wait()
	if strings.Contains(term.screen, "ing") {
		t.Errorf("load --quiet shows %q", term.screen)
	}
}

// TestImportURL imports what a server has.
func TestImportURL(t *testing.T) {
	u := newUser(t)
	content, wait := busyboxTree(t), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/bb.tar", func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })
	mux.HandleFunc("/cut.tar", func(w http.ResponseWriter, _ *http.Request) { w.Write(content[:len(content)/2]) })
	mux.HandleFunc("/slow.tar", func(w http.ResponseWriter, req *http.Request) {
		w.Write(content[:len(content)/2])
		w.(http.Flusher).Flush()
		select {
		case <-wait:
		case <-req.Context().Done():
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(wait)
	u.run("import", "-c", `CMD ["echo","ok"]`, server.URL+"/bb.tar", "bb:1")
	u.prints("ok", "run", "--rm", "--network", "none", "bb:1")
	u.run("rmi", "bb:1")
	u.fails(125, []string{"download " + server.URL + "/none", "404 Not Found"}, "import", server.URL+"/none", "x")
	u.fails(125, []string{"unexpected EOF"}, "import", server.URL+"/cut.tar", "x")
	u.fails(125, []string{"connection refused"}, "import", "http://127.0.0.1:1/x.tar", "x")
	u.fails(125, []string{"no such file"}, "import", "ftp://127.0.0.1/x.tar", "x")
	term := u.onTerminal("import", server.URL+"/slow.tar", "x")
	term.expect("Importing ")
	term.types("\x03")
	if code := term.wait(); code != 130 {
		t.Errorf("interrupted, import ends with %d", code)
	}
	u.isEmptyStore()
}
